"""A table as a file to download."""

from __future__ import annotations

from aiohttp import web

from relayhub.accounts.usage_sheet import MEDIA_TYPE
from relayhub.web.context import REQUEST_ID


def csv_response(request: web.Request, text: str, following: str | None) -> web.Response:
    """``following``: the ``after`` of the next page, for the header ``x-next``. No browser guesses another type, or shows
    it."""
    headers = {
        "x-request-id": request[REQUEST_ID],
        "content-type": MEDIA_TYPE,
        "content-disposition": 'attachment; filename="usage.csv"',
        "x-content-type-options": "nosniff",
    }
    if following is not None:
        headers["x-next"] = following
    return web.Response(body=text.encode(), headers=headers)

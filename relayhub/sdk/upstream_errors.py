"""Reading an error answer whose shape is the upstream's own."""

from __future__ import annotations

from collections.abc import Iterable

import orjson

from relayhub.dialects.upstream_errors import decode_error
from relayhub.types.errors import UpstreamError
from relayhub.types.http import HttpReply

MASK = "***"


def read_upstream_error(
    reply: HttpReply, said: str = "", *, code: str | None = None, secrets: Iterable[str] = ()
) -> UpstreamError:
    """A non-2xx answer by its status, ``retry-after`` included: which kind it is, whether another route may try, whether
    it may have been executed.

    ``said``: the upstream's own text, found by the plugin in the body; a client sees it only where the client can mend
    the request (400, 404, 413, 415, 422). ``code``: the upstream's own error code. ``secrets`` are taken out of both, and
    so is all that looks like a credential.
    """
    error = {"message": _without(said, secrets), "code": _without(code or "", secrets) or None}
    body = orjson.dumps({"error": error}) if said or code else b""
    return decode_error(HttpReply(reply.status, reply.headers, body))


def _without(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        if secret:
            text = text.replace(secret, MASK)
    # A lone surrogate, which JSON may hold, cannot be written as UTF-8.
    return text.encode("utf-8", "replace").decode()

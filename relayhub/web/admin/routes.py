"""All operations of the management side, and their routes."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler

from relayhub.web.admin import (
    accounts,
    admin_keys,
    books,
    codes,
    jobs,
    keys,
    people,
    prices,
    providers,
    routes_explained,
    session,
)
from relayhub.web.admin.endpoint import PATH, AnyEndpoint, handler_of
from relayhub.web.body import defer_expectation
from relayhub.web.client_api import OPERATIONS, ClientOperation
from relayhub.web.context import CONTEXT
from relayhub.web.openapi import document

ENDPOINTS: tuple[AnyEndpoint, ...] = (
    *session.ENDPOINTS,
    *accounts.ENDPOINTS,
    *keys.ENDPOINTS,
    *codes.ENDPOINTS,
    *books.ENDPOINTS,
    *jobs.ENDPOINTS,
    *prices.ENDPOINTS,
    *providers.ENDPOINTS,
    *routes_explained.ENDPOINTS,
    *people.ENDPOINTS,
    *admin_keys.ENDPOINTS,
)

HEADERS = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
}
"""On every answer below ``/api/admin``, errors included."""


def add_routes(app: web.Application, base_path: str) -> None:
    app.on_response_prepare.append(_harden)
    for endpoint in ENDPOINTS:
        path = f"{base_path}{PATH}{endpoint.path}"
        app.router.add_route(endpoint.method, path, handler_of(endpoint), expect_handler=defer_expectation)
    app.router.add_get(f"{base_path}{PATH}/openapi.json", _document_handler((), base_path))
    app.router.add_get(f"{base_path}/openapi.json", _document_handler(OPERATIONS, base_path))


async def _harden(request: web.Request, response: web.StreamResponse) -> None:
    if request.path.startswith(f"{request.app[CONTEXT].server.base_path}{PATH}/"):
        response.headers.update(HEADERS)


def _document_handler(operations: Iterable[ClientOperation], base_path: str) -> Handler:
    """It says nothing that the source does not, so everybody may read it; it is made once, when somebody does."""

    @cache
    def described() -> bytes:
        return orjson.dumps(document(ENDPOINTS, operations, base_path))

    async def handle(_request: web.Request) -> web.StreamResponse:
        return web.Response(body=described(), headers={"content-type": "application/json"})

    return handle

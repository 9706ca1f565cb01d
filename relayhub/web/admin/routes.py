"""All operations of the management side, and their routes."""

from __future__ import annotations

import orjson
from aiohttp import web

from relayhub.web.admin import accounts, admin_keys, books, codes, keys, people, providers, routes_explained, session
from relayhub.web.admin.context import ADMIN, AdminContext
from relayhub.web.admin.endpoint import PATH, AnyEndpoint, handler_of
from relayhub.web.admin.openapi import document
from relayhub.web.body import defer_expectation
from relayhub.web.context import CONTEXT

ENDPOINTS: tuple[AnyEndpoint, ...] = (
    *session.ENDPOINTS,
    *accounts.ENDPOINTS,
    *keys.ENDPOINTS,
    *codes.ENDPOINTS,
    *books.ENDPOINTS,
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


def add_routes(app: web.Application, base_path: str, context: AdminContext) -> None:
    app[ADMIN] = context
    app.on_response_prepare.append(_harden)
    for endpoint in ENDPOINTS:
        path = f"{base_path}{PATH}{endpoint.path}"
        app.router.add_route(endpoint.method, path, handler_of(endpoint), expect_handler=defer_expectation)
    app.router.add_get(f"{base_path}{PATH}/openapi.json", _document)


async def _harden(request: web.Request, response: web.StreamResponse) -> None:
    if request.path.startswith(f"{request.app[CONTEXT].server.base_path}{PATH}/"):
        response.headers.update(HEADERS)


async def _document(request: web.Request) -> web.Response:
    """It says nothing that the source does not, so everybody may read it."""
    body = orjson.dumps(document(ENDPOINTS, request.app[CONTEXT].server.base_path))
    return web.Response(body=body, headers={"content-type": "application/json"})

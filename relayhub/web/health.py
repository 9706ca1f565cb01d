"""Health, for load balancers and people: no credential, no cost."""

from __future__ import annotations

from aiohttp import web

from relayhub.types.errors import HubError
from relayhub.web.context import CONTEXT


async def health(request: web.Request) -> web.Response:
    """``GET /api/health``, as seed 000 documents it; 503 when the store cannot be written."""
    ok = await _store_works(request)
    checks = {"db": "ok" if ok else "fail", "redis": "disabled"}
    return web.json_response({"status": "ok" if ok else "error", "checks": checks}, status=200 if ok else 503)


async def livez(_request: web.Request) -> web.Response:
    """``GET /livez``: the process answers."""
    return web.json_response({"status": "ok"})


async def readyz(request: web.Request) -> web.Response:
    """``GET /readyz``: new calls are welcome. 503 while draining or when the store fails."""
    if request.app[CONTEXT].draining:
        return web.json_response({"status": "draining"}, status=503)
    ok = await _store_works(request)
    return web.json_response({"status": "ok" if ok else "error"}, status=200 if ok else 503)


async def _store_works(request: web.Request) -> bool:
    try:
        await request.app[CONTEXT].store.ping()
    except HubError:
        return False
    return True

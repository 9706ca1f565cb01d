"""Plugins' own client dialects: chat at the paths that they name, where the hub has nothing itself."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import structlog
from aiohttp import web

from relayhub.dialects.jsontext import parse_object
from relayhub.plugins.ingresses import MODEL, Ingress
from relayhub.types.call import Operation
from relayhub.web.body import defer_expectation
from relayhub.web.foreign import FOREIGN
from relayhub.web.ingress.serving import Asked, authenticate, read, serve

log = structlog.get_logger("relayhub.plugins")

SAMPLE = "x"
"""A model's name, for finding out who serves a path."""


def add_routes(app: web.Application, base_path: str, ingresses: Iterable[Ingress]) -> None:
    """Last of all: what the hub or an earlier plugin serves is not taken over, and that is logged."""
    served: dict[str, Ingress] = {}
    for ingress in ingresses:
        for path in ingress.kind.paths:
            whole = base_path + path
            if _is_taken(app, whole.replace(MODEL, SAMPLE)):
                log.error("plugin.path_taken", plugin=ingress.plugin, ingress=ingress.name, path=path)
                continue
            resource = app.router.add_resource(whole)
            resource.add_route("POST", partial(chat, ingress), expect_handler=defer_expectation)
            served[resource.canonical] = ingress
    app[FOREIGN] = served


def _is_taken(app: web.Application, path: str) -> bool:
    for resource in app.router.resources():
        info = resource.get_info()
        pattern = info.get("pattern")
        if info.get("path") == path or (pattern is not None and pattern.fullmatch(path)):
            return True
    return False


async def chat(ingress: Ingress, request: web.Request) -> web.StreamResponse:
    """One call in the plugin's dialect."""
    principal = authenticate(request)
    body = await read(request)
    parse_object(body)
    envelope = ingress.envelope(body, model=request.match_info.get("model"))
    return await serve(request, principal, Asked(Operation.CHAT, ingress.name, body, envelope))

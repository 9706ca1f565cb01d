"""Anthropic's endpoints: messages and the token count, under ``/v1`` and ``/{platform}/v1``."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from relayhub.dialects.anthropic_messages.count import count_envelope, encode_count
from relayhub.types.call import Dialect, Operation
from relayhub.web.body import defer_expectation
from relayhub.web.context import CONTEXT
from relayhub.web.ingress.counting import count
from relayhub.web.ingress.serving import Asked, authenticate, json_response, read, serve
from relayhub.web.mounts import OPENAI_MOUNTS

DIALECT = Dialect.ANTHROPIC_MESSAGES

HEADER_PREFIX = "anthropic-"
"""Versions, betas and the like, which an upstream of the same dialect is told; repeated headers count as one list."""

BROWSER_HEADER = "anthropic-dangerous-direct-browser-access"
"""Between the client and us."""


def add_routes(app: web.Application, base_path: str) -> None:
    """Register both endpoints under every mount."""
    for mount in OPENAI_MOUNTS:
        prefix = base_path + mount.prefix
        app.router.add_post(f"{prefix}/messages", messages, expect_handler=defer_expectation)
        app.router.add_post(f"{prefix}/messages/count_tokens", count_tokens, expect_handler=defer_expectation)


async def messages(request: web.Request) -> web.StreamResponse:
    """``POST …/messages``."""
    principal = authenticate(request)
    body = await read(request)
    envelope = request.app[CONTEXT].codecs.chat[DIALECT].envelope(body)
    return await serve(request, principal, Asked(Operation.CHAT, DIALECT, body, envelope, _own_headers(request)))


async def count_tokens(request: web.Request) -> web.Response:
    """``POST …/messages/count_tokens``."""
    principal = authenticate(request)
    body = await read(request)
    asked = Asked(Operation.COUNT_TOKENS, DIALECT, body, count_envelope(body), _own_headers(request))
    counted = await count(request, principal, asked)
    return json_response(request, counted.native or encode_count(counted.tokens), DIALECT)


def _own_headers(request: web.Request) -> dict[str, str]:
    return own_headers({name.lower(): ",".join(request.headers.getall(name)) for name in request.headers})


def own_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Those of the dialect, by name. ``headers``: names lower case, of several with one name all values."""
    names = sorted(name for name in headers if name.startswith(HEADER_PREFIX) and name != BROWSER_HEADER)
    return {name: headers[name] for name in names}

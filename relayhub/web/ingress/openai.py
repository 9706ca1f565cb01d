"""OpenAI's endpoints: chat completions, Responses and embeddings, under every OpenAI mount."""

from __future__ import annotations

from aiohttp import web

from relayhub.dialects.openai_responses.count import count_envelope, encode_count
from relayhub.types.call import Dialect, Operation
from relayhub.types.errors import ClientError, ErrorKind
from relayhub.web.body import defer_expectation
from relayhub.web.context import CONTEXT
from relayhub.web.ingress.counting import count
from relayhub.web.ingress.serving import Asked, authenticate, json_response, read, serve
from relayhub.web.mounts import OPENAI_MOUNTS


def add_routes(app: web.Application, base_path: str) -> None:
    """Register every endpoint under every mount."""
    for mount in OPENAI_MOUNTS:
        prefix = base_path + mount.prefix
        for path, handler in (
            ("chat/completions", chat),
            ("responses", responses),
            ("responses/input_tokens", input_tokens),
            ("embeddings", embeddings),
        ):
            app.router.add_post(f"{prefix}/{path}", handler, expect_handler=defer_expectation)
        for path in ("responses/{id}", "responses/{id}/{rest:.+}"):
            app.router.add_route("*", f"{prefix}/{path}", stored_response)


async def chat(request: web.Request) -> web.StreamResponse:
    """``POST …/chat/completions``."""
    return await _chat(request, Dialect.OPENAI_CHAT)


async def responses(request: web.Request) -> web.StreamResponse:
    """``POST …/responses``."""
    return await _chat(request, Dialect.OPENAI_RESPONSES)


async def _chat(request: web.Request, dialect: Dialect) -> web.StreamResponse:
    principal = authenticate(request)
    body = await read(request)
    envelope = request.app[CONTEXT].codecs.chat[dialect].envelope(body)
    return await serve(request, principal, Asked(Operation.CHAT, dialect, body, envelope))


async def input_tokens(request: web.Request) -> web.Response:
    """``POST …/responses/input_tokens``."""
    principal = authenticate(request)
    body = await read(request)
    asked = Asked(Operation.COUNT_TOKENS, Dialect.OPENAI_RESPONSES, body, count_envelope(body))
    counted = await count(request, principal, asked)
    return json_response(request, counted.native or encode_count(counted.tokens))


async def stored_response(request: web.Request) -> web.Response:
    """``…/responses/{id}``: the hub keeps no answers."""
    authenticate(request)
    raise ClientError(
        ErrorKind.NOT_FOUND,
        "This server does not store responses: send the whole conversation in `input` instead of an id.",
        code="response_not_found",
    )


async def embeddings(request: web.Request) -> web.StreamResponse:
    """``POST …/embeddings``."""
    principal = authenticate(request)
    body = await read(request)
    dialect = Dialect.OPENAI_EMBEDDINGS
    envelope = request.app[CONTEXT].codecs.embeddings[dialect].envelope(body)
    return await serve(request, principal, Asked(Operation.EMBEDDINGS, dialect, body, envelope))

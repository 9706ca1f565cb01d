"""Gemini's endpoints, ``POST …/models/{model}:{verb}``, under ``/v1beta``, ``/v1``, ``/v1alpha``, and below a platform."""

from __future__ import annotations

from aiohttp import web

from relayhub.dialects.codec import Framing
from relayhub.dialects.gemini_generate.count import count_envelope, encode_count, unwrap_count
from relayhub.types.call import Dialect, Operation
from relayhub.types.errors import ClientError, ErrorKind
from relayhub.web.body import defer_expectation
from relayhub.web.context import CONTEXT
from relayhub.web.ingress.counting import count
from relayhub.web.ingress.serving import Asked, authenticate, json_response, read, serve
from relayhub.web.mounts import PLATFORM, VERSIONS

DIALECT = Dialect.GEMINI_GENERATE

GENERATE, STREAM, COUNT = "generateContent", "streamGenerateContent", "countTokens"
EMBED, BATCH_EMBED = "embedContent", "batchEmbedContents"
VERBS = (GENERATE, STREAM, COUNT, EMBED, BATCH_EMBED)


def add_routes(app: web.Application, base_path: str) -> None:
    """Register the verbs under every version."""
    for version in VERSIONS:
        for prefix in (version, PLATFORM + version):
            app.router.add_post(
                f"{base_path}{prefix}/{{kind:models|tunedModels}}/{{call:.+}}",
                model_call,
                expect_handler=defer_expectation,
            )


async def model_call(request: web.Request) -> web.StreamResponse:
    """One model's verb. The colon may arrive percent-encoded, and the model may contain slashes."""
    principal = authenticate(request)
    model, verb = _split(request)
    body = await read(request)
    match verb:
        case "countTokens":
            asked = Asked(Operation.COUNT_TOKENS, DIALECT, body, count_envelope(body, model))
            counted = await count(request, principal, asked, unwrap_count(body))
            return json_response(request, counted.native or encode_count(counted.tokens), DIALECT)
        case "embedContent" | "batchEmbedContents":
            embeddings = request.app[CONTEXT].codecs.embeddings[Dialect.GEMINI_EMBEDDINGS]
            envelope = embeddings.envelope(body, model=model)
            return await serve(
                request, principal, Asked(Operation.EMBEDDINGS, Dialect.GEMINI_EMBEDDINGS, body, envelope)
            )
        case _:
            codec = request.app[CONTEXT].codecs.chat[DIALECT]
            envelope = codec.envelope(body, model=model, framing=_framing(request, verb))
            return await serve(request, principal, Asked(Operation.CHAT, DIALECT, body, envelope))


def _split(request: web.Request) -> tuple[str, str]:
    """Raises ``ClientError`` NOT_FOUND for another verb."""
    call, kind = request.match_info["call"], request.match_info["kind"]
    model, _, verb = call.rpartition(":")
    if not model or verb not in VERBS:
        raise ClientError(
            ErrorKind.NOT_FOUND,
            f"There is no method {verb[:100]!r} here; a model has {', '.join(VERBS)}.",
            code="unknown_method",
        )
    return (model if kind == "models" else f"{kind}/{model}"), verb


def _framing(request: web.Request, verb: str) -> Framing | None:
    if verb != STREAM:
        return None
    return Framing.SSE if request.query.get("alt", "").lower() == "sse" else Framing.ARRAY

"""The rest of OpenAI's surface, relayed where the provider serves it too: text completions, moderations, rankings,
transcriptions and translations, under every OpenAI mount."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from relayhub.dialects.codec import Envelope
from relayhub.dialects.jsontext import parse_object
from relayhub.dialects.openai_native import audio, completions, moderations, rerank
from relayhub.types.call import Dialect, Operation
from relayhub.web.body import defer_expectation
from relayhub.web.context import CONTEXT
from relayhub.web.ingress.serving import Asked, authenticate, platform_of, read, refuse_while_draining, serve
from relayhub.web.mounts import OPENAI_MOUNTS
from relayhub.web.once import form_digest, once_of
from relayhub.web.upload import receive_form


@dataclass(frozen=True, slots=True)
class JsonEndpoint:
    """One endpoint that takes JSON. ``envelope``: reads a request's body; raises ``ClientError``."""

    path: str
    operation: Operation
    dialect: Dialect
    envelope: Callable[[bytes], Envelope]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """``POST …/{path}``."""
        principal = authenticate(request)
        body = await read(request)
        return await serve(request, principal, Asked(self.operation, self.dialect, body, self.envelope(body)))


@dataclass(frozen=True, slots=True)
class AudioEndpoint:
    """One endpoint that takes a form with a recording."""

    path: str
    operation: Operation

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """``POST …/{path}``. What can be refused is, before the recording is taken."""
        principal = authenticate(request)
        context = request.app[CONTEXT]
        refuse_while_draining(context)
        platform_of(request)
        async with receive_form(request, audio.WANTED, context.server) as upload:
            envelope = audio.read_envelope(upload.form)
            headers = {"content-type": upload.content_type}
            digest = None if once_of(request) is None else await form_digest(request, upload)
            asked = Asked(self.operation, Dialect.OPENAI_AUDIO, upload.body, envelope, headers, digest)
            return await serve(request, principal, asked)


ENDPOINTS: tuple[JsonEndpoint | AudioEndpoint, ...] = (
    JsonEndpoint(
        "completions",
        Operation.COMPLETIONS,
        Dialect.OPENAI_COMPLETIONS,
        lambda body: completions.read_envelope(parse_object(body)),
    ),
    JsonEndpoint(
        "moderations",
        Operation.MODERATIONS,
        Dialect.OPENAI_MODERATIONS,
        lambda body: moderations.read_envelope(parse_object(body)),
    ),
    JsonEndpoint(
        "rerank",
        Operation.RERANK,
        Dialect.JINA_RERANK,
        lambda body: rerank.read_envelope(parse_object(body), len(body)),
    ),
    AudioEndpoint("audio/transcriptions", Operation.TRANSCRIPTION),
    AudioEndpoint("audio/translations", Operation.TRANSLATION),
)


def add_routes(app: web.Application, base_path: str) -> None:
    """Register every endpoint under every mount."""
    for mount in OPENAI_MOUNTS:
        for endpoint in ENDPOINTS:
            path = f"{base_path}{mount.prefix}/{endpoint.path}"
            app.router.add_post(path, endpoint.handle, expect_handler=defer_expectation)

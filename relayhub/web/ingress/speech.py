"""Speech: ``POST …/audio/speech``."""

from __future__ import annotations

import asyncio

from aiohttp import web

from relayhub.dialects.media_api import speech_events
from relayhub.dialects.media_api.speech import AskedSpeech, read_speech
from relayhub.gateway.call import ClientLeft
from relayhub.gateway.speech import SpeechCall
from relayhub.types.call import Dialect
from relayhub.types.errors import RelayhubError
from relayhub.types.limits import WRITE_STALL_S
from relayhub.types.media import MediaUsage
from relayhub.web.body import defer_expectation
from relayhub.web.client_address import client_address
from relayhub.web.context import CONTEXT, REQUEST_ID
from relayhub.web.given import receive
from relayhub.web.ingress.serving import (
    CLIENT_LEFT_STATUS,
    authenticate,
    platform_of,
    refuse_while_draining,
    response_headers,
)
from relayhub.web.mounts import OPENAI_MOUNTS


def add_routes(app: web.Application, base_path: str) -> None:
    """Register it under every mount."""
    for mount in OPENAI_MOUNTS:
        app.router.add_post(f"{base_path}{mount.prefix}/audio/speech", speak, expect_handler=defer_expectation)


async def speak(request: web.Request) -> web.StreamResponse:
    """``POST …/audio/speech``: the file itself, as it is spoken where the upstream can."""
    principal = authenticate(request)
    received = await receive(request)
    asked = read_speech(received.given)
    context = request.app[CONTEXT]
    refuse_while_draining(context)
    call = SpeechCall(
        request[REQUEST_ID],
        principal,
        asked.request,
        context.clock.monotonic(),
        platform_of(request),
        asked.user,
        client_address(request, context.trusted_proxies),
    )
    listener = Listening(request, asked)
    try:
        await context.media.speech.serve(call, listener)
    except ClientLeft:
        return listener.response or web.Response(status=CLIENT_LEFT_STATUS)
    except RelayhubError as error:
        if listener.response is None:
            raise
        await listener.fail(error)
    assert listener.response is not None
    return listener.response


class Listening:
    """A :class:`relayhub.gateway.speech.Listener` on an aiohttp request."""

    def __init__(self, request: web.Request, asked: AskedSpeech) -> None:
        self._request = request
        self._events = asked.events
        self.response: web.StreamResponse | None = None

    @property
    def begun(self) -> bool:
        return self.response is not None

    async def write(self, audio: bytes, media_type: str) -> None:
        await self._write(speech_events.audio_event(audio) if self._events else audio, media_type)

    async def end(self, audio: bytes, media_type: str, usage: MediaUsage | None) -> None:
        if self.response is None and not self._events:
            headers = {**self._headers(media_type), "content-length": str(len(audio))}
            self.response = web.Response(body=audio, headers=headers)
            return
        if audio:
            await self.write(audio, media_type)
        last = speech_events.done_event(usage) if self._events else b""
        await self._write(last, media_type, over=True)

    async def fail(self, error: RelayhubError) -> None:
        """After the head was sent: an error event, or a body that breaks off. Never a normal end."""
        assert self.response is not None
        if self._events:
            event = speech_events.error_event(error, self._request[REQUEST_ID])
            await self._write(event, "", over=True)
        elif self._request.transport is not None:
            self._request.transport.abort()

    async def _write(self, data: bytes, media_type: str, *, over: bool = False) -> None:
        try:
            async with asyncio.timeout(WRITE_STALL_S):
                if self.response is None:
                    response = web.StreamResponse(headers=self._headers(media_type))
                    await response.prepare(self._request)
                    self.response = response
                if data:
                    await self.response.write(data)
                if over:
                    await self.response.write_eof()
        except TimeoutError as error:
            if self._request.transport is not None:
                self._request.transport.abort()
            raise ClientLeft from error
        except ConnectionError as error:
            raise ClientLeft from error

    def _headers(self, media_type: str) -> dict[str, str]:
        content_type = speech_events.CONTENT_TYPE if self._events else media_type
        return {
            **response_headers(self._request, Dialect.OPENAI_CHAT),
            "content-type": content_type,
            "cache-control": "no-cache",
            "x-accel-buffering": "no",
        }

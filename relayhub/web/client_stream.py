"""The client's end of a call on an aiohttp request: response head, keep-alive comments, back-pressure, error events."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from aiohttp import web

from relayhub.dialects.codec import Framing
from relayhub.gateway.call import ClientLeft
from relayhub.types.limits import WRITE_STALL_S

DROPPED = "x-relayhub-dropped"

PUSHED = 64 << 10
"""Bytes that a client may have outstanding before what is next waits for it to read."""

STREAM_HEADERS = {
    "cache-control": "no-cache",
    "x-accel-buffering": "no",  # nginx would hold the stream back until 16 KB have gathered
}


class ClientStream:
    """A :class:`relayhub.gateway.call.Client`. Use as an async context manager around the call: leaving stops its timer.

    For a stream, ``head_wait_s`` after the start without a first event the head goes out with ``keep_alive``, and after
    every ``keep_alive_s`` of silence it is sent again; where that is ``None`` the client waits for the real status. For a
    whole answer (``framing`` ``None``) nothing is sent before it is complete.
    """

    def __init__(
        self,
        request: web.Request,
        headers: Mapping[str, str],
        *,
        framing: Framing | None,
        keep_alive: bytes | None,
        head_wait_s: float,
        keep_alive_s: float,
    ) -> None:
        self._request = request
        self._headers = dict(headers)
        self._framing = framing
        self._sign_of_life = keep_alive if framing is not None else None
        self._head_wait_s = head_wait_s
        self._keep_alive_s = keep_alive_s
        self._loop = asyncio.get_running_loop()
        self._opening = asyncio.Lock()
        self._last_write = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._comment: asyncio.Task[None] | None = None
        self._wire: asyncio.Transport | None = None
        self.response: web.StreamResponse | None = None

    async def __aenter__(self) -> ClientStream:
        if self._sign_of_life is not None:
            self._timer = self._loop.call_later(self._head_wait_s, self._tick)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop_timer()
        if self._comment is not None:
            self._comment.cancel()

    @property
    def status(self) -> int | None:
        return self.response.status if self.response is not None else None

    def note_dropped(self, names: Sequence[str]) -> None:
        if names:
            self._headers[DROPPED] = ", ".join(names)
        else:
            self._headers.pop(DROPPED, None)

    async def reply(self, body: bytes, content_type: str) -> None:
        self.response = web.Response(body=body, headers={**self._headers, "content-type": content_type})

    def push(self, frames: bytes) -> bool:
        wire = self._wire
        if wire is None or wire.is_closing() or wire.get_write_buffer_size() > PUSHED:
            return False
        self._last_write = self._loop.time()
        wire.write(b"%x\r\n%b\r\n" % (len(frames), frames))
        return True

    async def write(self, frames: bytes) -> None:
        with self._leaving():
            async with asyncio.timeout(WRITE_STALL_S):
                response = await self._opened()
                self._last_write = self._loop.time()
                await response.write(frames)
        if response.headers.get("transfer-encoding") == "chunked":
            self._wire = self._request.transport  # the head has gone out with these frames

    async def end(self, frames: bytes) -> None:
        self._stop_timer()
        self._wire = None
        with self._leaving():
            async with asyncio.timeout(WRITE_STALL_S):
                response = await self._opened()
                await response.write(frames)
                await response.write_eof()

    @contextmanager
    def _leaving(self) -> Iterator[None]:
        """A client that is gone, or has read nothing for too long and counts as gone."""
        try:
            yield
        except TimeoutError as error:
            if self._request.transport is not None:
                self._request.transport.abort()
            raise ClientLeft from error
        except ConnectionError as error:  # aiohttp has its own, and the transport may raise the plain one
            raise ClientLeft from error

    async def _opened(self) -> web.StreamResponse:
        if self.response is None:
            async with self._opening:
                if self.response is None:
                    response = web.StreamResponse(headers={**STREAM_HEADERS, **self._headers, **self._content_type()})
                    await response.prepare(self._request)
                    self.response = response
        return self.response

    def _content_type(self) -> dict[str, str]:
        array = self._framing is Framing.ARRAY
        return {"content-type": "application/json" if array else "text/event-stream; charset=utf-8"}

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        """Write a comment if there was silence, and set the timer for when there next could have been."""
        silent_s = self._loop.time() - self._last_write
        opened = self.response is not None
        writing = self._comment is not None and not self._comment.done()  # the client is slow: one comment is enough
        if not writing and (not opened or silent_s >= self._keep_alive_s):
            self._comment = self._loop.create_task(self._say_alive())
            silent_s = 0.0
        self._timer = self._loop.call_later(max(self._keep_alive_s - silent_s, 0.01), self._tick)

    async def _say_alive(self) -> None:
        try:
            await self.write(self._sign_of_life or b"")
        except ClientLeft:
            self._stop_timer()  # aiohttp cancels the handler, which ends the call

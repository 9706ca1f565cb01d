"""The client's end of a call on an aiohttp request: response head, keep-alive comments, back-pressure, error events."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from aiohttp import web

from relayhub.gateway.call import ClientLeft
from relayhub.types.limits import WRITE_STALL_S

COMMENT = b": keep-alive\n\n"

SSE_HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",  # nginx would hold the stream back until 16 KB have gathered
}


class ClientStream:
    """A :class:`relayhub.gateway.call.Client`. Use as an async context manager around the call: leaving stops its timer.

    For a stream, ``head_wait_s`` after the start without a first event the head goes out with a comment, and after every
    ``keep_alive_s`` of silence another comment; for a whole answer nothing is sent before it is complete.
    """

    def __init__(
        self,
        request: web.Request,
        headers: Mapping[str, str],
        *,
        stream: bool,
        head_wait_s: float,
        keep_alive_s: float,
    ) -> None:
        self._request = request
        self._headers = headers
        self._stream = stream
        self._head_wait_s = head_wait_s
        self._keep_alive_s = keep_alive_s
        self._loop = asyncio.get_running_loop()
        self._opening = asyncio.Lock()
        self._last_write = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._comment: asyncio.Task[None] | None = None
        self.response: web.StreamResponse | None = None

    async def __aenter__(self) -> ClientStream:
        if self._stream:
            self._timer = self._loop.call_later(self._head_wait_s, self._tick)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop_timer()
        if self._comment is not None:
            self._comment.cancel()

    @property
    def status(self) -> int | None:
        return self.response.status if self.response is not None else None

    async def reply(self, body: bytes) -> None:
        self.response = web.Response(body=body, headers={**self._headers, "content-type": "application/json"})

    async def write(self, frames: bytes) -> None:
        with self._leaving():
            async with asyncio.timeout(WRITE_STALL_S):
                response = await self._opened()
                self._last_write = self._loop.time()
                await response.write(frames)

    async def end(self, frames: bytes) -> None:
        self._stop_timer()
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
                    response = web.StreamResponse(headers={**self._headers, **SSE_HEADERS})
                    await response.prepare(self._request)
                    self.response = response
        return self.response

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
            await self.write(COMMENT)
        except ClientLeft:
            self._stop_timer()  # aiohttp cancels the handler, which ends the call

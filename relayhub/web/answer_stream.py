"""What every answer needs, whatever writes it: keep-alive comments, a limit on stalled writes, the dropped fields."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from relayhub.dialects.codec import Framing
from relayhub.gateway.call import ClientLeft
from relayhub.gateway.equal_waits import EqualWaits
from relayhub.types.limits import WRITE_STALL_S

DROPPED = "x-relayhub-dropped"

PUSHED = 32 << 10
"""Bytes that a client may have outstanding in this process before what is next waits for it to read."""

STREAM_HEADERS = {
    "cache-control": "no-cache",
    "x-accel-buffering": "no",  # nginx would hold the stream back until 16 KB have gathered
}


class AnswerStream(ABC):
    """The common half of a :class:`relayhub.gateway.call.Client`. Use as an async context manager around the call: leaving
    ends its waiting.

    For a stream, as long after the start as ``head_waits`` says without a first event the head goes out with
    ``keep_alive``, and after every ``keep_alive_s`` of silence it is sent again; where that is ``None`` the client waits for
    the real status. For a whole answer (``framing`` ``None``) nothing is sent before it is complete.
    """

    def __init__(
        self,
        headers: dict[str, str],
        framing: Framing | None,
        keep_alive: bytes | None,
        head_waits: EqualWaits,
        keep_alive_s: float,
    ) -> None:
        """``headers``: its own from now on."""
        self._headers = headers
        self._framing = framing
        self._sign_of_life = keep_alive if framing is not None else None
        self._head_waits = head_waits
        self._keep_alive_s = keep_alive_s
        self._loop = asyncio.get_running_loop()
        self.last_write = 0.0
        self._waits = False
        """Among ``head_waits``; later it has a timer."""
        self._timer: asyncio.TimerHandle | None = None
        self._comment: asyncio.Task[None] | None = None

    # What the subclass knows

    @property
    @abstractmethod
    def opened(self) -> bool:
        """The head of a stream has been sent, or a whole answer is on its way."""

    @abstractmethod
    def transport(self) -> asyncio.WriteTransport | None:
        """The client's connection while it stands."""

    @abstractmethod
    async def _write(self, frames: bytes) -> None:
        """With the head before the first; returns when the client keeps up."""

    @abstractmethod
    async def _end(self, frames: bytes) -> None:
        """The last of it."""

    # What all have in common

    def begin(self) -> None:
        """What ``async with`` does, for whoever does without; :meth:`close` it."""
        if self._sign_of_life is not None:
            self._waits = True
            self.last_write = self._head_waits.begin(self)

    async def __aenter__(self) -> AnswerStream:
        self.begin()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._waits or self._timer is not None:
            self._stop_timer()
        if self._comment is not None:
            self._comment.cancel()

    def note_dropped(self, names: Sequence[str]) -> None:
        headers = {name: value for name, value in self._headers.items() if name != DROPPED}
        self._headers = {**headers, DROPPED: ", ".join(names)} if names else headers

    async def write(self, frames: bytes) -> None:
        with self._leaving():
            async with asyncio.timeout(WRITE_STALL_S):
                self.last_write = self._loop.time()
                await self._write(frames)

    async def end(self, frames: bytes) -> None:
        self._stop_timer()
        with self._leaving():
            async with asyncio.timeout(WRITE_STALL_S):
                await self._end(frames)

    @contextmanager
    def _leaving(self) -> Iterator[None]:
        """A client that is gone, or has read nothing for too long and counts as gone."""
        try:
            yield
        except TimeoutError as error:
            transport = self.transport()
            if transport is not None:
                transport.abort()
            raise ClientLeft from error
        except ConnectionError as error:  # aiohttp has its own, and the transport may raise the plain one
            raise ClientLeft from error

    def _stream_headers(self) -> dict[str, str]:
        return {**STREAM_HEADERS, **self._headers, "content-type": stream_type(self._framing)}

    def _stop_timer(self) -> None:
        if self._waits:
            self._waits = False
            self._head_waits.end(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def is_late(self) -> None:
        """See :class:`relayhub.gateway.equal_waits.Waiting`."""
        self._waits = False
        self._tick()

    def _tick(self) -> None:
        """Write a comment if there was silence, and set the timer for when there next could have been."""
        silent_s = self._loop.time() - self.last_write
        writing = self._comment is not None and not self._comment.done()  # the client is slow: one comment is enough
        if not writing and (not self.opened or silent_s >= self._keep_alive_s):
            self._comment = self._loop.create_task(self._say_alive())
            silent_s = 0.0
        self._timer = self._loop.call_later(max(self._keep_alive_s - silent_s, 0.01), self._tick)

    async def _say_alive(self) -> None:
        try:
            await self.write(self._sign_of_life or b"")
        except ClientLeft:
            self._stop_timer()  # the call is cancelled by whoever notices the closed connection


def stream_type(framing: Framing | None) -> str:
    return "application/json" if framing is Framing.ARRAY else "text/event-stream; charset=utf-8"


def bound(transport: asyncio.WriteTransport | None) -> None:
    """Of a connection that a stream goes to: what its client does not read is held back at the upstream, not here. Lasts, and
    is done once."""
    if transport is not None and transport.get_write_buffer_limits()[1] != PUSHED:
        transport.set_write_buffer_limits(high=PUSHED)

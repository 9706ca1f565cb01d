"""A limit on how long the head of a request may take: aiohttp has none, and half-sent heads are held for nothing."""

from __future__ import annotations

import asyncio
from typing import cast

from aiohttp import web
from aiohttp.typedefs import Handler

from relayhub.web.overload import SHED, Overload

TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class HeadTimer(asyncio.Protocol):
    """Stands between a connection and aiohttp's protocol. The clock runs from the first byte of a request until
    :func:`head_arrived` has seen the request; bytes that come while it is answered belong to its body, or to a request
    behind it, whose own clock starts with the first byte after the answer."""

    __slots__ = ("_answering", "_inner", "_limit_s", "_overload", "_timer", "_transport")

    def __init__(self, inner: asyncio.Protocol, limit_s: float, overload: Overload | None = None) -> None:
        """``overload``: counts the connection, and may have no room for it."""
        self._inner = inner
        self._overload = overload
        self._limit_s = limit_s
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._answering = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # the loop may have a class of its own
        if self._overload is not None and not self._overload.enter():
            self._overload, self._inner = None, asyncio.Protocol()
            self._transport.write(SHED)
            self._transport.close()
            return
        self._inner.connection_made(transport)

    def take_over(self, transport: asyncio.Transport, until: float | None) -> None:
        """As :meth:`connection_made`, of a connection that was counted already. ``until``: a head has begun to come, and must
        be complete by then, in loop time."""
        self._transport = transport
        if until is not None:
            self._timer = asyncio.get_running_loop().call_at(until, self._too_slow)
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        self._inner.data_received(data)
        if self._timer is None and not self._answering and self._transport is not None:
            self._timer = asyncio.get_running_loop().call_later(self._limit_s, self._too_slow)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        self._transport = None
        if self._overload is not None:
            self._overload.leave()
            self._overload = None
        self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def arrived(self) -> None:
        """The head is complete."""
        self._stop()
        self._answering = True

    def answered(self) -> None:
        """What comes now is the next request."""
        self._answering = False

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        self._timer = None
        if self._transport is not None:
            self._transport.write(TOO_SLOW)
            self._transport.close()


@web.middleware
async def head_arrived(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Stops the clock of the connection that a request came over."""
    transport = request.transport
    timer = transport.get_protocol() if transport is not None else None
    if not isinstance(timer, HeadTimer):  # a test's own server
        return await handler(request)
    timer.arrived()
    try:
        return await handler(request)
    finally:
        timer.answered()

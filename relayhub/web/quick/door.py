"""A client's connection at the front door: plain calls are served here, all else is handed to the web framework, for good."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

from relayhub.gateway.open_calls import Cancellable
from relayhub.sdk.clock import Clock
from relayhub.types.call import Principal
from relayhub.upstream.memory import Lease
from relayhub.web.head_timer import TOO_SLOW, HeadTimer
from relayhub.web.overload import SHED, Overload
from relayhub.web.quick.answer import whole_answer
from relayhub.web.quick.head import MAX_HEAD, QuickHead
from relayhub.web.quick.inflow import WORTH, Inflow
from relayhub.web.quick.known_heads import around_length, length_between

AHEAD = 64 << 10
"""Bytes that a client may send beyond the request that is being answered, before no more is read."""

_START = b"POST /"
_SEQUENCE = (tuple, list)


class Desk(Protocol):
    """See :class:`relayhub.web.quick.desk.QuickDesk`."""

    clock: Clock

    @property
    def body_timeout_s(self) -> float: ...

    def accept(self, block: bytes, door: QuickDoor) -> tuple[QuickHead, int] | None:
        """What stands in this head, and the length of the body, if the call may come in this way at all."""
        ...

    def admit(self, head: QuickHead, length: int, door: QuickDoor, now: float) -> Principal | None:
        """Whose call it is, if it can be taken now (monotonic seconds). Counts it as under way until :meth:`leave`."""
        ...

    def leave(self, door: QuickDoor) -> None: ...
    def serve(self, door: QuickDoor, head: QuickHead, principal: Principal, body: bytes, now: float) -> Cancellable:
        """Answer it, whatever happens, and call :meth:`QuickDoor.served` afterwards, never before this has returned."""
        ...

    def too_slow(self, door: QuickDoor, head: QuickHead) -> None: ...
    def date(self) -> str: ...
    def opened(self, door: QuickDoor) -> None:
        """Look after it, and call :meth:`QuickDoor.close_if_idle` now and then, until :meth:`closed`."""
        ...

    def closed(self, door: QuickDoor) -> None: ...


class QuickDoor(asyncio.Protocol):
    """``make``: the framework's protocol, for when it is needed. ``head_s``: how long a request's head may take.
    ``overload``: counts the connection, and may have no room for it."""

    __slots__ = (
        "_ahead",
        "_ahead_bytes",
        "_around",
        "_block",
        "_body_timer",
        "_buffer",
        "_call",
        "_desk",
        "_drain",
        "_ending",
        "_head",
        "_head_s",
        "_head_timer",
        "_idle_since",
        "_length",
        "_loop",
        "_make",
        "_missing",
        "_overload",
        "_parts",
        "_paused_reading",
        "_principal",
        "congested",
        "known",
        "lease",
        "peer",
        "transport",
    )

    def __init__(
        self, desk: Desk, make: Callable[[], asyncio.Protocol], head_s: float, overload: Overload | None = None
    ) -> None:
        self._desk = desk
        self._make = make
        self._head_s = head_s
        self._overload = overload
        self._loop = asyncio.get_running_loop()
        self.transport: asyncio.Transport | None = None
        self.peer = ""
        self.lease: Lease | None = None
        """Counts the body of the request, if that is not small."""
        self.congested = False
        """The client does not read as fast as it is sent."""
        self._buffer = b""
        self._block = b""
        self.known: QuickHead | None = None
        """What stood in ``_block``, the last head: most clients send the same one again, but for the length."""
        self._length = 0
        self._around: tuple[bytes, bytes, bytes] | None = None
        """See :func:`around_length`; ``None``: not asked yet, as few connections bring another head."""
        self._head: QuickHead | None = None
        self._principal: Principal | None = None
        self._parts: list[bytes] = []
        self._missing = 0
        self._call: Cancellable | None = None
        self._ahead: list[bytes] = []
        self._ahead_bytes = 0
        self._ending = False
        self._paused_reading = False
        self._drain: asyncio.Future[None] | None = None
        self._idle_since = 0.0
        self._head_timer: asyncio.TimerHandle | None = None
        """Runs while a head has begun to come and is not complete."""
        self._body_timer: asyncio.TimerHandle | None = None

    # The connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        stream: asyncio.Transport = transport  # type: ignore[assignment]  # the loop may have a class of its own
        self.transport = stream
        if self._overload is not None and not self._overload.enter():
            self._overload = None
            stream.write(SHED)
            stream.close()
            return
        peer = transport.get_extra_info("peername")
        self.peer = str(peer[0]) if isinstance(peer, _SEQUENCE) else ""
        self._idle_since = self._loop.time()
        self._desk.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        self.transport = None
        if self._overload is not None:
            self._overload.leave()
            self._overload = None
        if self._drain is not None and not self._drain.done():
            self._drain.set_result(None)  # whoever waits looks at the transport again
        if self._call is not None:
            self._call.cancel()
        elif self._head is not None:
            self._desk.leave(self)  # it left before its body was complete

    def eof_received(self) -> bool | None:
        """A client that stops sending has left, as far as anybody can tell: its connection is closed."""
        return None

    def pause_writing(self) -> None:
        self.congested = True

    def resume_writing(self) -> None:
        self.congested = False
        if self._drain is not None and not self._drain.done():
            self._drain.set_result(None)

    async def drained(self) -> None:
        """See :class:`relayhub.web.quick.answer.Line`."""
        while self.congested and self.transport is not None:
            if self._drain is None or self._drain.done():
                self._drain = self._loop.create_future()
            await asyncio.shield(self._drain)
        if self.transport is None:
            raise ConnectionResetError("the client has left")

    def date(self) -> str:
        return self._desk.date()

    def tell(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """A whole answer of our own; the last one where a header says so."""
        if self.transport is None or self.transport.is_closing():
            return
        self.transport.write(whole_answer(status, headers, body, self.date()))
        if headers.get("connection") == "close":
            self._ending = True
            if self._call is None:
                self.transport.close()

    def close(self) -> None:
        """The server ends: nobody may begin anything here. A call under way goes on."""
        self._ending = True
        if self._call is None and self._head is None and self.transport is not None:
            self.transport.close()

    # Requests

    def data_received(self, data: bytes) -> None:
        if self._call is not None:
            self._wait_with(data)
            return
        transport = self.transport
        if transport is None or transport.is_closing():
            return  # TLS still reads while it sends the last answer
        if self._head is not None:
            self._add(data)
            return
        known, buffer = self._block, self._buffer + data if self._buffer else data
        if known and buffer.startswith(known):
            end = len(known)
        elif (end := buffer.find(b"\r\n\r\n") + 4) >= 4 and end <= MAX_HEAD:
            self._learn(buffer[:end])
        else:
            self._buffer = buffer
            if len(buffer) > MAX_HEAD or not buffer.startswith(_START[: len(buffer)]):
                self._hand_over()
            elif self._head_timer is None:
                self._head_timer = self._loop.call_later(self._head_s, self._head_too_slow)
            return
        head, length, now = self.known, self._length, self._desk.clock.monotonic()
        principal = None if head is None else self._desk.admit(head, length, self, now)
        if head is None or principal is None:
            self._buffer = buffer
            self._hand_over()
            return
        self._head, self._principal, self._buffer = head, principal, b""
        if self._head_timer is not None:
            self._stop_head_timer()
        if len(buffer) - end == length:
            self._call = self._desk.serve(self, head, principal, buffer[end:], now)
        else:
            self._missing = length
            self._await_body(buffer, end, length)

    def _learn(self, block: bytes) -> None:
        """What stands in a head that is not quite the last one."""
        length = self.length_in(block) if self._block else None
        if length is None:
            self.known, length = self._desk.accept(block, self) or (None, 0)
            self._around = None
        self._block, self._length = block, length

    def length_in(self, block: bytes) -> int | None:
        """Of the body, where this head is quite the last one but for it."""
        before, _, after = self._around = self._around or around_length(self._block)
        return length_between(block, before, after)

    def _await_body(self, buffer: bytes, end: int, length: int) -> None:
        """``end``: of the head in ``buffer``."""
        if len(buffer) - end < length:
            self._body_timer = self._loop.call_later(self._desk.body_timeout_s, self._too_slow)
            if len(buffer) - end + WORTH < length:
                assert self.transport is not None
                Inflow(self.transport, length, memoryview(buffer)[end:], self._begin)
                return
        self._add(buffer[end:])

    def _add(self, data: bytes) -> None:
        if len(data) > self._missing:
            self._wait_with(data[self._missing :])
            data = data[: self._missing]
        self._missing -= len(data)
        self._parts.append(data)
        if self._missing:
            return
        body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts = []
        self._begin(body)

    def _begin(self, body: bytes) -> None:
        if self._body_timer is not None:
            self._stop_body_timer()
        assert self._head is not None
        assert self._principal is not None
        self._call = self._desk.serve(self, self._head, self._principal, body, self._desk.clock.monotonic())

    def goes_on(self, call: Cancellable) -> None:
        """Something else serves what is being served."""
        self._call = call

    def _wait_with(self, data: bytes) -> None:
        """It belongs to a request behind this one."""
        self._ahead.append(data)
        self._ahead_bytes += len(data)
        if self._ahead_bytes > AHEAD and not self._paused_reading and self.transport is not None:
            self._paused_reading = True
            self.transport.pause_reading()

    def served(self) -> None:
        """All has been said."""
        self._desk.leave(self)
        self._call = self._head = self._principal = None
        self._idle_since = self._loop.time()
        if self._ahead or self._ending or self._paused_reading:
            self._next()

    def _next(self) -> None:
        """There is something behind the request, or there shall be nothing."""
        if self.transport is None or self.transport.is_closing():
            return
        if self._ending and not self._ahead:
            self.transport.close()
            return
        if self._paused_reading:
            self._paused_reading = False
            self.transport.resume_reading()
        if self._ahead:
            data = b"".join(self._ahead)
            self._ahead, self._ahead_bytes = [], 0
            self.data_received(data)

    def _hand_over(self) -> None:
        """For good: which of its next requests would be plain again is not worth the doubt."""
        transport, data = self.transport, self._buffer
        assert transport is not None
        until = None if self._head_timer is None else self._head_timer.when()
        self._forget()
        framework = HeadTimer(self._make(), self._head_s, self._overload)
        self.transport = self._overload = None
        transport.set_protocol(framework)
        framework.take_over(transport, until)
        if self.congested:
            framework.pause_writing()
        framework.data_received(data)

    # Time

    def _head_too_slow(self) -> None:
        self._head_timer = None
        assert self.transport is not None
        self.transport.write(TOO_SLOW)
        self.transport.close()

    def _too_slow(self) -> None:
        self._body_timer = None
        assert self._head is not None
        self._desk.too_slow(self, self._head)

    def close_if_idle(self, since: float) -> None:
        """Whoever has been silent since then, in loop time, has gone without a word."""
        if self._idle_since <= since and self._head is None and not self._buffer and self.transport is not None:
            self.transport.close()

    def _stop_head_timer(self) -> None:
        assert self._head_timer is not None
        self._head_timer.cancel()
        self._head_timer = None

    def _stop_body_timer(self) -> None:
        assert self._body_timer is not None
        self._body_timer.cancel()
        self._body_timer = None

    def _forget(self) -> None:
        """It is not ours any more, or nobody's."""
        self._desk.closed(self)
        if self._head_timer is not None:
            self._stop_head_timer()
        if self._body_timer is not None:
            self._stop_body_timer()

"""One socket to an upstream: who is on it, when it must show something, and whether another request may use it."""

from __future__ import annotations

import asyncio
import math
import mmap
import select
from collections.abc import Callable
from functools import partial
from itertools import repeat
from typing import Protocol, cast

from relayhub.upstream.lean.head import Heads
from relayhub.upstream.lean.outgoing import Origin
from relayhub.upstream.lean.sink import Express


class Exchange(Protocol):
    """One request and its answer, on a connection that is theirs until one of the two is over."""

    def received(self, data: bytes) -> None: ...
    def ended(self, error: Exception | None) -> None:
        """The connection is gone; ``None`` if the upstream closed it in order."""
        ...

    def overdue(self) -> None:
        """What :meth:`Connection.expect` was told has not happened in time."""
        ...

    def writable(self) -> None:
        """There is room again in the connection's buffer."""
        ...


class Lend(Protocol):
    def __call__(self, sizehint: int) -> memoryview: ...


class Inbox:
    """What connections read into: one for many, because each read is taken out in the turn of the loop it came in.

    ``memory``: of all that can be written to, this alone gives its slices as ``bytes``, in one step. ``lend``: a protocol's
    ``get_buffer``, which is called before each read, without a function of ours."""

    __slots__ = ("lend", "memory")

    def __init__(self, size: int) -> None:
        self.memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.lend: Lend = partial(next, repeat(memoryview(self.memory)))


class Connection(asyncio.BufferedProtocol):
    """``reused``: it has served before. ``idle_until``: loop time at which it is too old to be used again. ``loop``: asking
    for it costs a system call. ``exchange``: who is on it. ``heads``: reads those of its answers. ``lane``: is asked first
    whether it takes what has come; ``heard_at``: when it did so last, in loop time, unless its owner has set it since."""

    __slots__ = (
        "_due",
        "_inbox",
        "_now",
        "_on_gone",
        "_paused",
        "_peek",
        "_rings_at",
        "_room",
        "_timer",
        "congested",
        "exchange",
        "get_buffer",
        "heads",
        "heard_at",
        "idle_until",
        "lane",
        "loop",
        "lost",
        "origin",
        "reused",
        "transport",
    )
    transport: asyncio.Transport
    get_buffer: Lend

    def __init__(
        self, origin: Origin, on_gone: Callable[[Connection], None], inbox: Inbox, heads: Heads | None = None
    ) -> None:
        self.origin = origin
        self._inbox = inbox.memory
        self._room = len(inbox.memory)
        self.get_buffer = inbox.lend
        self.lane: Express | None = None
        self.heard_at = 0.0
        self.reused = False
        self.lost = False
        self.congested = False
        self.idle_until = 0.0
        self._on_gone = on_gone
        self.exchange: Exchange | None = None
        self.heads = heads or Heads()
        self._paused = False
        self.loop = asyncio.get_running_loop()
        self._now = self.loop.time
        self._due: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = math.inf
        self._peek: Callable[[int], list[tuple[int, int]]] | None = None

    # What the owner does

    def detach(self) -> None:
        """The exchange is over, and what comes from now on was not asked for."""
        self.exchange = self.lane = self._due = None
        self.reused = True
        if self._paused:
            self.resume()

    def usable(self) -> bool:
        """Nothing has come on it and it has not ended, as far as this machine knows, be it unread: a request that is
        written to a connection which the upstream has closed is lost, and may not be repeated."""
        if self.lost or self.transport.is_closing():
            return False
        if self._peek is None:
            poll = select.poll()
            poll.register(self.transport.get_extra_info("socket").fileno(), select.POLLIN | select.POLLPRI)
            self._peek = poll.poll
        return not self._peek(0)

    def pause(self) -> None:
        """Read no more for now: the upstream feels it once the buffers of both systems are full."""
        if not self._paused:
            self._paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        if self._paused:
            self._paused = False
            self.transport.resume_reading()

    def expect(self, due: float | None) -> None:
        """Something must happen by ``due``, in loop time. One timer serves all waits: it is set again when it was too
        early, for most waits end long before."""
        self._due = due
        if due is not None and due < self._rings_at:
            if self._timer is not None:
                self._timer.cancel()
            self._rings_at = due
            self._timer = self.loop.call_at(due, self._ring)

    def drop(self) -> None:
        """Close at once; whoever is on it knows why. Idempotent."""
        if not self.lost:
            self.lost = True
            self.exchange = self.lane = None
            self._stop_timer()
            self.transport.abort()
            self._on_gone(self)

    def break_off(self, error: Exception | None) -> None:
        """Close at once, and tell whoever is on it. Idempotent."""
        exchange = self.exchange
        self.drop()
        if exchange is not None:
            exchange.ended(error)

    # What the loop does

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are not registered as such

    def buffer_updated(self, nbytes: int) -> None:
        data = self._inbox[:nbytes]
        lane = self.lane
        if lane is not None and lane(data, now := self._now()):
            self.heard_at = now
        elif self.exchange is not None:
            self.exchange.received(data)
        else:
            self.drop()
            return
        if nbytes == self._room and not self._paused and not self.transport.is_closing():
            # There is more, and libuv would read on for long. It is the others' turn.
            self.transport.pause_reading()
            self.loop.call_soon(self._read_on)

    def connection_lost(self, error: Exception | None) -> None:
        self.break_off(error)

    def pause_writing(self) -> None:
        self.congested = True

    def resume_writing(self) -> None:
        self.congested = False
        if self.exchange is not None:
            self.exchange.writable()

    def _read_on(self) -> None:
        if not self._paused and not self.transport.is_closing():
            self.transport.resume_reading()

    def _ring(self) -> None:
        self._timer = None
        self._rings_at = math.inf
        if self._due is None:
            return
        if self._due > self.loop.time():
            self.expect(self._due)
        elif self.exchange is not None:
            self.exchange.overdue()

    def _stop_timer(self) -> None:
        self._due = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

"""The connections of one provider: how many there may be, which are free, and who waits for one."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from relayhub.upstream import faults
from relayhub.upstream.lean.connection import Connection
from relayhub.upstream.lean.dial import Dialler
from relayhub.upstream.lean.outgoing import Origin

IDLE_S = 15.0
"""Shorter than most upstreams' own idle limit, so that a reused connection is rarely one the upstream just closed."""

IDLE_MARGIN_S = 1.0
"""Where an upstream tells its own limit: how long before it a connection is no longer used."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """``turn`` brings a connection, or ``None``: the right to make one."""

    origin: Origin
    turn: asyncio.Future[Connection | None]


class Pool:
    """``limit``: of connections, busy and free ones together, whatever their origin."""

    def __init__(self, dialler: Dialler, limit: int, idle_s: float = IDLE_S) -> None:
        self._dialler = dialler
        self._limit = limit
        self._idle_s = idle_s
        self._open: set[Connection] = set()
        self._dialling = 0
        self._idle: dict[Origin, list[Connection]] = {}
        self._waiting: deque[_Waiting] = deque()
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def size(self) -> int:
        """Connections that are open or being made."""
        return len(self._open) + self._dialling

    @property
    def free(self) -> int:
        return sum(map(len, self._idle.values()))

    def take(self, origin: Origin) -> Connection | None:
        """A free connection that is alive, the one used last: the others may grow old and go."""
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()
            if connection.idle_until > connection.loop.time() and connection.usable():
                return connection
            connection.drop()
        return None

    async def connect(self, origin: Origin, connect_s: float) -> Connection:
        """A new connection, or one that became free while waiting for the right to make one. ``connect_s`` covers all of
        it. Raises ``UpstreamError``, never delivered."""
        until = asyncio.get_running_loop().time() + connect_s
        while not self._may_dial():
            connection = await self._turn(origin, until, connect_s)
            if connection is None:
                break
            if connection.usable():
                return connection
            connection.drop()
        try:
            connection = await self._dialler.dial(origin, until, self._gone)
        except BaseException:
            self._dialling -= 1
            self._next()
            raise
        self._dialling -= 1
        self._open.add(connection)
        if self._closed or connection.lost:
            connection.drop()
            self._gone(connection)
            raise faults.not_reached("the connection was closed as soon as it was made")
        return connection

    def _may_dial(self) -> bool:
        """Takes the right where there is one, if need be from a free connection to elsewhere."""
        if self._full():
            self._evict()
        if self._full():
            return False
        self._dialling += 1
        return True

    def _full(self) -> bool:
        return self.size >= self._limit

    def _evict(self) -> None:
        free = [connection for idle in self._idle.values() for connection in idle]
        if free:
            min(free, key=lambda connection: connection.idle_until).drop()

    async def _turn(self, origin: Origin, until: float, connect_s: float) -> Connection | None:
        waiting = _Waiting(origin, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        try:
            async with asyncio.timeout_at(until):
                return await waiting.turn
        except BaseException as error:
            self._pass_on(waiting)
            if isinstance(error, TimeoutError):
                detail = f"all {self._limit} connections of this provider were busy for {connect_s:g} s"
                raise faults.not_reached(detail) from error
            raise

    def _pass_on(self, waiting: _Waiting) -> None:
        """Whoever stops waiting just as the turn comes leaves it to the next one."""
        if waiting in self._waiting:
            self._waiting.remove(waiting)
        elif waiting.turn.done() and not waiting.turn.cancelled() and waiting.turn.exception() is None:
            connection = waiting.turn.result()
            if connection is None:
                self._dialling -= 1
                self._next()
            else:
                self.release(connection, None)

    def release(self, connection: Connection, upstreams_idle_s: float | None) -> None:
        """A connection is free again. ``upstreams_idle_s``: as long as it says it keeps it."""
        idle_s = self._idle_s
        if upstreams_idle_s is not None:
            idle_s = min(idle_s, upstreams_idle_s - IDLE_MARGIN_S)
        if idle_s <= 0 or self._closed:
            connection.drop()
            return
        waiting = self._waiting
        while waiting and waiting[0].turn.done():
            waiting.popleft()
        if waiting:
            if waiting[0].origin == connection.origin:
                waiting.popleft().turn.set_result(connection)
            else:
                connection.drop()
            return
        connection.idle_until = connection.loop.time() + idle_s
        self._idle.setdefault(connection.origin, []).append(connection)
        if self._sweep is None:
            self._sweep = connection.loop.call_at(connection.idle_until, self._drop_old)

    def _gone(self, connection: Connection) -> None:
        self._open.discard(connection)
        idle = self._idle.get(connection.origin)
        if idle is not None and connection in idle:
            idle.remove(connection)
        self._next()

    def _next(self) -> None:
        while self._waiting and not self._full():
            first = self._waiting.popleft()
            if not first.turn.done():
                self._dialling += 1
                first.turn.set_result(None)

    def _drop_old(self) -> None:
        self._sweep = None
        now = asyncio.get_running_loop().time()
        free = [connection for idle in self._idle.values() for connection in idle]
        for connection in free:
            if connection.idle_until <= now:
                connection.drop()
        self._idle = {origin: idle for origin, idle in self._idle.items() if idle}
        if self._idle:
            oldest = min(connection.idle_until for idle in self._idle.values() for connection in idle)
            self._sweep = asyncio.get_running_loop().call_at(oldest, self._drop_old)

    def retire(self) -> None:
        """Keep no connection any more: free ones are dropped now, busy ones when they become free. New ones can still be
        made, for calls that have begun. Idempotent."""
        self._idle_s = 0.0
        for connection in [connection for idle in self._idle.values() for connection in idle]:
            connection.drop()

    def close(self) -> None:
        """Drop them all, and send away who waits. Idempotent, and for good."""
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        for waiting in self._waiting:
            if not waiting.turn.done():
                waiting.turn.set_exception(faults.not_reached("the provider's connections are being closed"))
        self._waiting.clear()
        for connection in tuple(self._open):
            connection.break_off(ConnectionAbortedError("the provider's connections are being closed"))

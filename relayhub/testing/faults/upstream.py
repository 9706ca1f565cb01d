"""An upstream on a raw socket that does exactly what it is told to, and keeps the ground truth."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import SupportsIndex

from relayhub.sdk import Clock
from relayhub.sdk.clock import SystemClock
from relayhub.testing.faults.received import Received, model_of, receive
from relayhub.testing.faults.steps import Close, Fault, Flood, Reset, Step, Ticks, Trickle, does
from relayhub.testing.upstream import Counters, Gate, Hang, Wait

START_S = 10.0
"""How long starting and stopping in a thread may take."""

MAX_HEAD = 1 << 20
"""Bytes of a request's head that are read; more is a broken connection."""

Named = Callable[[Received], str]


@dataclass(slots=True)
class FaultCounters(Counters):
    """``aborts``: answers that the other side left before their end. ``connections``: that were made at all, whether a
    request came over them or not. ``bytes_sent``: what the other side's kernel or ours took."""

    connections: int = 0


class FaultUpstream:
    """Each request is named, by default for its ``model``, and gets the answers programmed for that name in turn; the last
    one repeats. A name without a program is answered 404 and noted in ``unknown``.

    ``accepts``: what happens to every new connection before a request is read. ``tls``: serve HTTPS with it.
    """

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        accepts: tuple[Step, ...] = (),
        named: Named = model_of,
        clock: Clock | None = None,
    ) -> None:
        self.url = ""
        self.requests: list[tuple[str, Received]] = []
        self.unknown: list[str] = []
        self.total = FaultCounters()
        self._tls = tls
        self._accepts = accepts
        self._named = named
        self._clock = clock or SystemClock()
        self._programs: dict[str, list[Fault]] = {}
        self._counters: dict[str, FaultCounters] = {}
        self._changed = threading.Condition()
        self._connections: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    # --- for tests ----------------------------------------------------------------------------------------------------

    def program(self, name: str, *answers: Fault | bytes) -> None:
        """The next requests of this name get these; bytes are a whole answer. From any thread."""
        self._programs[name] = [does(answer) if isinstance(answer, bytes) else answer for answer in answers]

    def of(self, name: str) -> list[Received]:
        """The requests of this name, in order."""
        return [request for found, request in self.requests if found == name]

    def counters(self, name: str) -> FaultCounters:
        """The ground truth about one name, ``connections`` being those that its requests came over."""
        with self._changed:
            counters = self._counters.setdefault(name, FaultCounters())
            counters.connections = len({request.connection for request in self.of(name)})
            return counters

    def forget(self) -> None:
        """Drop what was recorded of requests; the counters stay. For runs of hours."""
        with self._changed:
            self.requests.clear()

    def open(self, gate: Gate) -> None:
        """Let an answer go on. From any thread."""
        assert self._loop is not None, "it is not serving"
        self._loop.call_soon_threadsafe(gate.opened.set)

    def wait_for(self, condition: Callable[[], bool], within_s: float = 5.0) -> bool:
        """Bounded waiting for something the counters will show. Not on the loop that serves."""
        with self._changed:
            return self._changed.wait_for(condition, within_s)

    @asynccontextmanager
    async def serving(self, host: str = "127.0.0.1") -> AsyncIterator[str]:
        """Serve on a free port; gives the URL."""
        self._loop = asyncio.get_running_loop()
        server = await self._loop.create_server(self._protocol, host, 0, ssl=self._tls)
        self.url = f"{'https' if self._tls else 'http'}://{host}:{server.sockets[0].getsockname()[1]}"
        try:
            yield self.url
        finally:
            server.close()
            for task in self._connections:
                task.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)

    @contextmanager
    def in_thread(self) -> Iterator[str]:
        """:meth:`serving` in a thread of its own, for tests of other processes."""
        started = threading.Event()
        stop = asyncio.Event()
        loops: list[asyncio.AbstractEventLoop] = []

        async def serve() -> None:
            async with self.serving():
                loops.append(asyncio.get_running_loop())
                started.set()
                await stop.wait()

        thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
        thread.start()
        assert started.wait(START_S), "the upstream did not start"
        try:
            yield self.url
        finally:
            loops[0].call_soon_threadsafe(stop.set)
            thread.join(START_S)

    # --- serving ------------------------------------------------------------------------------------------------------

    def _protocol(self) -> asyncio.StreamReaderProtocol:
        return asyncio.StreamReaderProtocol(_Watched(limit=MAX_HEAD), self._accepted)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert isinstance(reader, _Watched)
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        number = self._connected()
        writer.transport.set_write_buffer_limits(high=0)  # what is counted as sent has left this process
        try:
            await self._serve(number, reader, writer)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError, ValueError):
            return  # the other side left, or sent what cannot be read
        finally:
            self._connections.discard(task)
            writer.close()

    def _connected(self) -> int:
        with self._changed:
            self.total.connections += 1
            self._changed.notify_all()
            return self.total.connections

    async def _serve(self, number: int, reader: _Watched, writer: asyncio.StreamWriter) -> None:
        if self._accepts and not await _until_left(reader, self._run(self._accepts, writer, None)):
            return
        while True:
            request = await receive(reader, number)
            name = self._named(request)
            fault = self._next(name, request)
            size = len(request.head) + len(request.body)
            self._count(name, requests=1, open=1, executions=int(fault.executed), bytes_received=size)
            if not await self._answer(name, fault, reader, writer):
                return

    async def _answer(self, name: str, fault: Fault, reader: _Watched, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection goes on."""
        goes_on: bool | None = None
        try:
            goes_on = await _until_left(reader, self._run(fault.steps, writer, name))
            return bool(goes_on)
        finally:
            self._count(name, open=-1, aborts=int(goes_on is None))

    async def _run(self, steps: tuple[Step, ...], writer: asyncio.StreamWriter, name: str | None) -> bool:
        """Whether the connection is still there afterwards."""
        for step in steps:
            match step:
                case bytes():
                    await self._send(step, writer, name)
                case Trickle(data, every_s, size):
                    for start in range(0, len(data), size):
                        await self._send(data[start : start + size], writer, name)
                        await self._clock.sleep(every_s)
                case Flood(data, times, every_s):
                    await self._flood(data, times, every_s, writer, name)
                case Ticks(make, times, every_s):
                    for _ in range(times):
                        await self._clock.sleep(every_s)
                        await self._send(make(), writer, name)
                case Wait(seconds):
                    await self._clock.sleep(seconds)
                case Gate():
                    await step.opened.wait()
                case Hang():
                    await asyncio.Event().wait()
                case Close():
                    return False
                case Reset():
                    _reset(writer)
                    return False
        return True

    async def _flood(
        self, data: bytes, times: int | None, every_s: float, writer: asyncio.StreamWriter, name: str | None
    ) -> None:
        sent = 0
        while times is None or sent < times:
            await self._send(data, writer, name)
            await self._clock.sleep(every_s)
            sent += 1

    async def _send(self, data: bytes, writer: asyncio.StreamWriter, name: str | None) -> None:
        writer.write(data)
        await writer.drain()
        self._count(name, bytes_sent=len(data))

    def _next(self, name: str, request: Received) -> Fault:
        with self._changed:
            self.requests.append((name, request))
        program = self._programs.get(name)
        if program is None:
            self.unknown.append(name)
            return does(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", executed=False)
        return program.pop(0) if len(program) > 1 else program[0]

    def _count(self, name: str | None, **changes: int) -> None:
        with self._changed:
            if name is not None:
                _add(self._counters.setdefault(name, FaultCounters()), changes)
            _add(self.total, changes)
            self._changed.notify_all()


class _Watched(asyncio.StreamReader):
    """Shows when the other side leaves, without taking the beginning of its next request for a sign of life."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.left = asyncio.Event()
        self._ahead: bytearray | None = None

    def put_aside(self) -> None:
        """From now on, what comes waits for :meth:`go_on`: whatever its size, or its end would not be seen."""
        self._ahead = bytearray()

    def go_on(self) -> None:
        ahead, self._ahead = self._ahead, None
        if ahead and not self.left.is_set():
            self.feed_data(bytes(ahead))

    def feed_data(self, data: Iterable[SupportsIndex]) -> None:
        if self._ahead is None:
            super().feed_data(data)
        else:
            self._ahead.extend(data)

    def feed_eof(self) -> None:
        super().feed_eof()
        self.left.set()

    def set_exception(self, exc: Exception) -> None:
        super().set_exception(exc)
        self.left.set()


async def _until_left(reader: _Watched, work: Coroutine[object, object, bool]) -> bool | None:
    """What ``work`` gives; ``None`` if the other side leaves before that. What it sends meanwhile waits."""
    reader.put_aside()
    running, left = asyncio.ensure_future(work), asyncio.ensure_future(reader.left.wait())
    try:
        await asyncio.wait((running, left), return_when=asyncio.FIRST_COMPLETED)
        return await running if running.done() else None
    finally:
        for task in (running, left):
            task.cancel()
        await asyncio.gather(running, left, return_exceptions=True)
        reader.go_on()


def _add(counters: FaultCounters, changes: dict[str, int]) -> None:
    for name, change in changes.items():
        setattr(counters, name, getattr(counters, name) + change)


def _reset(writer: asyncio.StreamWriter) -> None:
    raw = writer.get_extra_info("socket")
    with suppress(OSError):
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()

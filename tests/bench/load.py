"""The load generator, a process of its own: one thread over epoll. Takes its task as JSON in its first argument and
writes its figures as JSON to stdout. Errors are counted, never raised: a figure counts only where they are all 0."""

from __future__ import annotations

import gc
import heapq
import json
import re
import select
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field

from tests.bench.wire import (
    ANTHROPIC_PATH,
    CLIENT_KEY,
    HEAD_END,
    LAST_CHUNK,
    OPENAI_PATH,
    STAMP,
    plain_body,
    request,
    stream_body,
)

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
READ_BYTES = 1 << 18
READABLE, WRITABLE = select.EPOLLIN, select.EPOLLOUT


@dataclass(frozen=True, slots=True)
class Task:
    """``streams`` 0: ``connections`` that each ask again as soon as they have their answer, for ``seconds`` or until there
    were so many ``calls``. Otherwise so many streams, the first at once and the last after ``ramp_s``. ``patience_s``:
    after this, what is open is given up."""

    port: int
    connections: int = 0
    seconds: float = 0.0
    calls: int = 0
    size_kib: int = 1
    streams: int = 0
    chunks: int = 100
    interval_ms: int = 50
    ramp_s: float = 1.0
    anthropic: bool = False
    patience_s: float = 30.0
    key: str = CLIENT_KEY

    def request(self) -> bytes:
        path = ANTHROPIC_PATH if self.anthropic else OPENAI_PATH
        if self.streams:
            body = stream_body(self.chunks, self.interval_ms, anthropic=self.anthropic)
        else:
            body = plain_body(self.size_kib)
        return request(f"127.0.0.1:{self.port}", path, self.key, body)


@dataclass(frozen=True, slots=True)
class Spread:
    """Of one kind of delay, in microseconds."""

    p50_us: float
    p99_us: float
    max_us: float

    @classmethod
    def of(cls, values_ns: Sequence[int]) -> Spread | None:
        if not values_ns:
            return None
        ordered = sorted(values_ns)

        def at(part: float) -> float:
            return round(ordered[min(int(len(ordered) * part), len(ordered) - 1)] / 1000, 1)

        return cls(at(0.5), at(0.99), at(1.0))


@dataclass(slots=True)
class Figures:
    """``done``: answers that were 200 and whole. ``took``: request written → answer whole; ``first``: request written → first
    chunk; ``delay``: a chunk written by the mock → read here. ``short``: streams whose chunks are not all there."""

    done: int = 0
    chunks: int = 0
    wall_s: float = 0.0
    not_200: int = 0
    broken: int = 0
    unfinished: int = 0
    short: int = 0
    first_error: str = ""
    took: Spread | None = None
    first: Spread | None = None
    delay: Spread | None = None

    @property
    def errors(self) -> int:
        return self.not_200 + self.broken + self.unfinished + self.short

    @classmethod
    def from_json(cls, text: str) -> Figures:
        fields = json.loads(text)
        spreads = {name: Spread(**fields[name]) for name in ("took", "first", "delay") if fields[name]}
        return cls(**{**fields, **spreads})


@dataclass(slots=True)
class Samples:
    took_ns: list[int] = field(default_factory=list)
    first_ns: list[int] = field(default_factory=list)
    delay_ns: list[int] = field(default_factory=list)


class Exchange:
    """A connection and what of its present answer has arrived. ``wanted``: bytes of the whole answer; -1: it is chunked
    and ends with its last chunk; 0: the head is not whole yet."""

    __slots__ = ("carry", "chunks", "inbox", "outbox", "received", "sent_ns", "sock", "status", "tail", "wanted")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.outbox = memoryview(b"")
        self.begin()

    def begin(self) -> None:
        self.inbox = self.carry = self.tail = b""
        self.received = self.wanted = self.chunks = self.status = self.sent_ns = 0


class Load:
    """One task, run to its end by :meth:`run`."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._request = task.request()
        self._epoll = select.epoll()
        self._open: dict[int, Exchange] = {}
        self._buffer = bytearray(READ_BYTES)
        self._view = memoryview(self._buffer)
        self._samples = Samples()
        self._take: Callable[[Exchange, bytes], None] = self._take_stream if task.streams else self._take_reply
        self._again_until_ns = 0
        self._begun = 0
        self.figures = Figures()

    def run(self) -> Figures:
        begin = time.monotonic_ns()
        self._again_until_ns = begin + int(self._task.seconds * 1e9)
        starts = self._starts(begin)
        give_up = begin + int((self._task.seconds + self._task.ramp_s + self._task.patience_s) * 1e9)
        while (starts or self._open) and time.monotonic_ns() < give_up:
            while starts and starts[0] <= time.monotonic_ns():
                heapq.heappop(starts)
                self._connect()
            wait_s = max(0.0, (starts[0] - time.monotonic_ns()) / 1e9) if starts else 0.2
            for fd, events in self._epoll.poll(wait_s):
                if (exchange := self._open.get(fd)) is not None:
                    self._serve(exchange, events)
        self.figures.unfinished = len(self._open) + len(starts)
        self.figures.wall_s = (time.monotonic_ns() - begin) / 1e9
        self._give_up()
        samples = self._samples
        self.figures.took = Spread.of(samples.took_ns)
        self.figures.first = Spread.of(samples.first_ns)
        self.figures.delay = Spread.of(samples.delay_ns)
        return self.figures

    def _give_up(self) -> None:
        for exchange in self._open.values():
            exchange.sock.close()
        self._epoll.close()

    def _starts(self, begin: int) -> list[int]:
        task = self._task
        if not task.streams:
            return [begin] * task.connections
        step = int(task.ramp_s * 1e9 / task.streams)
        return [begin + step * number for number in range(task.streams)]

    def _connect(self) -> None:
        sock = socket.socket()
        try:
            sock.connect(("127.0.0.1", self._task.port))  # the listener's queue takes it; nobody has to accept it first
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            exchange = Exchange(sock)
            self._epoll.register(sock.fileno(), READABLE)
            self._open[sock.fileno()] = exchange
            self._ask(exchange)
        except OSError as error:
            self._note(f"connecting: {error}")
            self.figures.broken += 1
            sock.close()

    def _ask(self, exchange: Exchange) -> None:
        self._begun += 1
        exchange.begin()
        exchange.sent_ns = time.monotonic_ns()
        exchange.outbox = memoryview(self._request)
        if not self._flush(exchange):
            self._epoll.modify(exchange.sock.fileno(), READABLE | WRITABLE)

    def _flush(self, exchange: Exchange) -> bool:
        """Whether all of the request is out."""
        try:
            exchange.outbox = exchange.outbox[exchange.sock.send(exchange.outbox) :]
        except BlockingIOError:
            return False
        return not exchange.outbox

    def _serve(self, exchange: Exchange, events: int) -> None:
        try:
            if events & WRITABLE and self._flush(exchange):
                self._epoll.modify(exchange.sock.fileno(), READABLE)
            if not events & ~WRITABLE:
                return
            count = exchange.sock.recv_into(self._buffer)
        except OSError as error:
            self._break(exchange, str(error))
            return
        if count == 0:
            self._break(exchange, "the gateway closed before the answer was whole")
            return
        self._receive(exchange, bytes(self._view[:count]))

    def _receive(self, exchange: Exchange, data: bytes) -> None:
        if exchange.wanted == 0:
            data = exchange.inbox + data
            exchange.inbox = data
            head = data.find(HEAD_END)
            if head < 0:
                return
            length = LENGTH.search(data, 0, head)
            exchange.status = int(data[9:12])
            exchange.wanted = head + len(HEAD_END) + int(length[1]) if length else -1
        exchange.received += len(data)
        exchange.tail = (exchange.tail + data[-len(LAST_CHUNK) :])[-len(LAST_CHUNK) :]
        self._take(exchange, data)
        if exchange.received >= exchange.wanted > 0 or (exchange.wanted < 0 and exchange.tail == LAST_CHUNK):
            self._finish(exchange, data)

    def _take_reply(self, exchange: Exchange, data: bytes) -> None:
        """Only its length counts."""

    def _take_stream(self, exchange: Exchange, data: bytes) -> None:
        """The stamps in what has arrived, up to its last line: a line may arrive in two parts."""
        now = time.monotonic_ns()
        if exchange.carry:
            data = exchange.carry + data
        whole = data.rfind(b"\n") + 1
        exchange.carry = data[whole:]
        stamps = STAMP.findall(data, 0, whole)
        if not stamps:
            return
        if exchange.chunks == 0:
            self._samples.first_ns.append(now - exchange.sent_ns)
        exchange.chunks += len(stamps)
        self._samples.delay_ns.extend([now - int(stamp) for stamp in stamps])

    def _finish(self, exchange: Exchange, data: bytes) -> None:
        figures = self.figures
        figures.chunks += exchange.chunks
        if exchange.status != 200:
            figures.not_200 += 1
            self._note(f"status {exchange.status}: {data[-300:].decode(errors='replace')}")
        elif self._task.streams and exchange.chunks != self._task.chunks:
            figures.short += 1
            self._note(f"a stream had {exchange.chunks} chunks instead of {self._task.chunks}")
        else:
            figures.done += 1
        now = time.monotonic_ns()
        self._samples.took_ns.append(now - exchange.sent_ns)
        if now >= self._again_until_ns and self._begun >= self._task.calls:
            self._close(exchange)
            return
        try:
            self._ask(exchange)
        except OSError as error:
            self._break(exchange, str(error))

    def _break(self, exchange: Exchange, why: str) -> None:
        self.figures.broken += 1
        self._note(why)
        self._close(exchange)

    def _close(self, exchange: Exchange) -> None:
        del self._open[exchange.sock.fileno()]
        exchange.sock.close()

    def _note(self, error: str) -> None:
        self.figures.first_error = self.figures.first_error or error


def main() -> None:
    task = Task(**json.loads(sys.argv[1]))
    gc.freeze()
    gc.disable()
    sys.stdout.write(json.dumps(asdict(Load(task).run())) + "\n")


if __name__ == "__main__":
    main()

"""What stands around a client's connection at the front door: a transport, a desk, and the framework's protocol."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from relayhub.sdk.clock import Clock
from relayhub.testing import FakeClock
from relayhub.types.call import Principal
from relayhub.web.head_timer import HeadTimer
from relayhub.web.overload import Overload
from relayhub.web.quick.door import QuickDoor
from relayhub.web.quick.head import QuickHead, read_head
from tests.support.turned_loop import turned_loop

PRINCIPAL = Principal("key", "key", "acc")
HEAD_S = 10.0


def request(path: str, body: bytes) -> bytes:
    """Of the plainest kind."""
    head = f"POST {path} HTTP/1.1\r\nhost: hub\r\nx-api-key: k\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


FIRST, SECOND = request("/a", b"12345"), request("/b", b"678")
SERVED_FIRST, SERVED_BOTH = [("/a", b"12345")], [("/a", b"12345"), ("/b", b"678")]
NOT_PLAIN = FIRST.replace(b"host:", b"expect: 100-continue\r\nhost:")


class Wire(asyncio.Transport):
    """``behind``: what the client has sent by the time it is closed, and TLS delivers all the same. ``flow``: how reading was
    paused and resumed."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.written = b""
        self.behind: list[bytes] = []
        self.flow: list[str] = []
        self.closed = False
        self._protocol: asyncio.BaseProtocol | None = None

    def connect(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol
        protocol.connection_made(self)

    def receive(self, data: bytes) -> None:
        self.protocol.data_received(data)

    def lose(self) -> None:
        self.closed = True
        self.protocol.connection_lost(None)

    @property
    def protocol(self) -> asyncio.Protocol:
        assert isinstance(self._protocol, asyncio.Protocol)
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self.protocol

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True
        while self.behind:
            self.receive(self.behind.pop(0))

    def pause_reading(self) -> None:
        self.flow.append("pause")

    def resume_reading(self) -> None:
        self.flow.append("resume")


@dataclass
class Served:
    """A call under way."""

    path: str
    body: bytes
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


@dataclass
class Table:
    """A desk at which nothing is answered by itself. ``known``: the doors that it knows of."""

    idle_s: float = 3600.0
    body_timeout_s: float = 8.0
    clock: Clock = field(default_factory=FakeClock)
    in_flight: int = 0
    known: set[QuickDoor] = field(default_factory=set)
    served: list[Served] = field(default_factory=list)

    def accept(self, block: bytes, door: QuickDoor) -> tuple[QuickHead, int] | None:
        return read_head(block, str)

    def admit(self, _head: QuickHead, _length: int, _door: QuickDoor, _now: float) -> Principal | None:
        self.in_flight += 1
        return PRINCIPAL

    def leave(self, _door: QuickDoor) -> None:
        self.in_flight -= 1

    def serve(self, _door: QuickDoor, head: QuickHead, _principal: Principal, body: bytes, _now: float) -> Served:
        self.served.append(Served(head.path, body))
        return self.served[-1]

    def too_slow(self, door: QuickDoor, _head: QuickHead) -> None:
        door.tell(408, {"connection": "close"}, b"")

    def date(self) -> str:
        return "today"

    def opened(self, door: QuickDoor) -> None:
        self.known.add(door)

    def closed(self, door: QuickDoor) -> None:
        self.known.discard(door)


class Framework(asyncio.Protocol):
    """``told``: all that it heard, in order."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.told.append("made")

    def data_received(self, data: bytes) -> None:
        self.told.append("data")
        self.data += data

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append("lost")


@dataclass
class Entrance:
    """A connection that has just been made."""

    wire: Wire = field(default_factory=Wire)
    table: Table = field(default_factory=Table)
    framework: Framework = field(default_factory=Framework)
    overload: Overload = field(default_factory=lambda: Overload(FakeClock(), 100, 1))

    def __post_init__(self) -> None:
        self.door = QuickDoor(self.table, lambda: self.framework, HEAD_S, self.overload)
        self.wire.connect(self.door)

    @property
    def served(self) -> list[tuple[str, bytes]]:
        return [(call.path, call.body) for call in self.table.served]

    @property
    def timer(self) -> HeadTimer:
        """It was handed over."""
        assert isinstance(self.wire.protocol, HeadTimer)
        return self.wire.protocol

    def left(self) -> None:
        """Nothing of it remains once its client has gone."""
        self.wire.lose()
        assert (self.overload.clients, self.table.in_flight, self.table.known) == (0, 0, set())
        assert turned_loop().armed() == []

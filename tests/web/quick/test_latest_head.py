"""A new connection that begins with the same head as the last one that came is known by it, while that one is open; whatever
else it begins with is read as if there were none."""

from __future__ import annotations

import pytest

from relayhub.testing import FakeClock
from relayhub.types.call import Dialect
from relayhub.web.context import WebContext
from relayhub.web.overload import Overload
from relayhub.web.quick.desk import QuickDesk
from relayhub.web.quick.door import QuickDoor
from relayhub.web.quick.head import QuickHead, read_head
from relayhub.web.quick.known_heads import KnownHeads
from relayhub.web.quick.place import Place
from tests.support.front_door import FIRST, HEAD_S, NOT_PLAIN, SECOND, Framework, Table, Wire
from tests.support.turned_loop import in_turned_time

ELSEWHERE = b"POST /elsewhere "


class Looked(KnownHeads):
    """Notes each head that is looked up."""

    __slots__ = ("blocks",)

    def __init__(self) -> None:
        super().__init__(str)
        self.blocks: list[bytes] = []

    def read(self, block: bytes) -> tuple[QuickHead, int] | None:
        self.blocks.append(block)
        return super().read(block)


class Lobby(Table):
    """A table whose heads are known as those of the real desk are."""

    def __init__(self) -> None:
        super().__init__()
        context = WebContext.__new__(WebContext)  # all that is asked of it here is its clock
        context.clock = FakeClock()
        places = {path: Place(Dialect.OPENAI_CHAT) for path in ("/a", "/b")}
        self.desk, self.looked = QuickDesk(context, Overload(FakeClock()), 60.0, places), Looked()
        self.desk._heads = self.looked

    def accept(self, block: bytes, door: QuickDoor) -> tuple[QuickHead, int] | None:
        found = self.desk.accept(block, door)
        assert found == (None if block.startswith(ELSEWHERE) else read_head(block, str))
        return found

    def closed(self, door: QuickDoor) -> None:
        super().closed(door)
        self.desk.closed(door)

    def connect(self) -> tuple[Wire, QuickDoor]:
        wire, door = Wire(), QuickDoor(self, Framework, HEAD_S)
        wire.connect(door)
        return wire, door

    @property
    def all_served(self) -> list[tuple[str, bytes]]:
        return [(call.path, call.body) for call in self.served]


def longer(request: bytes) -> bytes:
    """The same with a body of ten bytes."""
    head, _, _ = request.partition(b"\r\n\r\n")
    return head[: head.rindex(b" ")] + b" 10\r\n\r\n" + b"0123456789"


@in_turned_time
async def test_the_same_head_but_for_its_length_is_not_looked_up() -> None:
    lobby = Lobby()
    for data in (FIRST, longer(FIRST), FIRST):
        wire, _ = lobby.connect()
        wire.receive(data)
    assert lobby.all_served == [("/a", b"12345"), ("/a", b"0123456789"), ("/a", b"12345")]
    assert len(lobby.looked.blocks) == 1


@pytest.mark.parametrize(
    "other",
    [
        FIRST.replace(b"x-api-key: k", b"x-api-key: l"),
        FIRST.replace(b"POST /a", b"POST /b"),
        FIRST.replace(b"content-length: 5", b"content-length: +5"),
        FIRST.replace(b"content-length: 5", b"content-length: 5\r\nx: 1"),
        FIRST.replace(b"content-length: 5", b"Content-Length: 5"),
        NOT_PLAIN,
        FIRST.replace(b"POST /a ", ELSEWHERE),
    ],
)
@in_turned_time
async def test_any_other_is_looked_up(other: bytes) -> None:
    lobby = Lobby()
    lobby.connect()[0].receive(FIRST)
    for _ in range(2):
        wire, _ = lobby.connect()
        wire.receive(other)
        assert lobby.looked.blocks[-1] == other[: other.index(b"\r\n\r\n") + 4]


@in_turned_time
async def test_what_comes_later_on_its_connection_takes_its_place() -> None:
    lobby = Lobby()
    wire, door = lobby.connect()
    wire.receive(FIRST)
    door.served()
    wire.receive(SECOND)
    lobby.connect()[0].receive(longer(SECOND))
    assert len(lobby.looked.blocks) == 2
    lobby.connect()[0].receive(FIRST)
    assert len(lobby.looked.blocks) == 3
    assert [path for path, _ in lobby.all_served] == ["/a", "/b", "/b", "/a"]


@in_turned_time
async def test_nothing_of_it_is_kept_once_its_connection_is_gone() -> None:
    lobby = Lobby()
    wire, _ = lobby.connect()
    wire.receive(FIRST)
    wire.lose()
    assert lobby.desk._latest is None
    lobby.connect()[0].receive(FIRST)
    assert len(lobby.looked.blocks) == 2

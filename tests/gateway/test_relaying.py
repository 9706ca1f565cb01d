"""A streamed answer goes through in the turn in which it comes, and waits exactly when the client does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pytest

from relayhub.gateway.departure import Departure
from relayhub.gateway.relaying import StreamRelay
from relayhub.gateway.tally import Tally
from relayhub.types.usage import Usage


class Client:
    """Takes ``room`` pushes; everything else must be written."""

    status = None

    def __init__(self, room: int) -> None:
        self.room = room
        self.got: list[tuple[str, bytes]] = []

    def note_dropped(self, names: Sequence[str]) -> None:
        raise AssertionError

    async def reply(self, body: bytes, content_type: str) -> None:
        raise AssertionError

    def push(self, frames: bytes) -> bool:
        if not self.room:
            return False
        self.room -= 1
        self.got.append(("pushed", frames))
        return True

    async def write(self, frames: bytes) -> None:
        self.got.append(("written", frames))

    async def end(self, frames: bytes) -> None:
        raise AssertionError


class Stream:
    """Comments (``:``) are no content; ``!`` ends it; ``-`` yields nothing."""

    usage: Usage | None = None
    delivered_chars = 0

    def __init__(self) -> None:
        self.started = False
        self.ended = False

    def feed(self, data: bytes) -> bytes:
        self.started = self.started or not data.startswith(b":")
        self.ended = self.ended or data == b"!"
        return b"" if data in (b"!", b"-") else data

    def finish(self) -> bytes:
        raise AssertionError


class FirstByte:
    seen = 0

    def __init__(self) -> None:
        self.departure = Departure()

    def first_byte(self) -> None:
        self.seen += 1


@pytest.fixture
def tally() -> FirstByte:
    return FirstByte()


def relay(client: Client, tally: FirstByte) -> StreamRelay:
    return StreamRelay(Stream(), client, cast("Tally", tally))


def test_frames_are_pushed_while_the_client_keeps_up(tally: FirstByte) -> None:
    client = Client(room=9)
    relaying = relay(client, tally)
    assert [relaying.take(data) for data in (b"a", b"-", b"b")] == [True, True, True]
    assert client.got == [("pushed", b"a"), ("pushed", b"b")]


async def test_frames_that_cannot_be_pushed_are_written_before_anything_else_comes(tally: FirstByte) -> None:
    client = Client(room=1)
    relaying = relay(client, tally)
    assert relaying.take(b"a") is True
    assert relaying.take(b"b") is False
    assert client.got == [("pushed", b"a")]
    assert await relaying.go_on() is True
    client.room = 1
    assert relaying.take(b"c") is True
    assert client.got == [("pushed", b"a"), ("written", b"b"), ("pushed", b"c")]


async def test_comments_wait_for_the_first_content_and_go_with_it(tally: FirstByte) -> None:
    client = Client(room=9)
    relaying = relay(client, tally)
    assert relaying.take(b": one\n\n") is True
    assert relaying.take(b": two\n\n") is True
    assert (client.got, tally.seen) == ([], 0)
    assert relaying.take(b"data") is True
    assert client.got == [("pushed", b": one\n\n: two\n\ndata")]
    assert tally.seen == 1
    assert relaying.take(b": later\n\n") is True
    assert client.got[1:] == [("pushed", b": later\n\n")]


@pytest.mark.parametrize("room", [0, 9])
async def test_nothing_is_wanted_after_the_end(tally: FirstByte, room: int) -> None:
    client = Client(room)
    relaying = relay(client, tally)
    if not relaying.take(b"a"):
        assert await relaying.go_on() is True
    assert relaying.take(b"!") is False
    assert await relaying.go_on() is False
    assert [frames for _, frames in client.got] == [b"a"]

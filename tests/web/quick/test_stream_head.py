"""The head of a stream that came in the short way, and what is set on its connection."""

from __future__ import annotations

import asyncio

import pytest

from relayhub.dialects.codec import Framing
from relayhub.gateway.equal_waits import EqualWaits
from relayhub.types.call import Dialect
from relayhub.web.answer_stream import PUSHED
from relayhub.web.quick.answer import QuickAnswer
from relayhub.web.quick.place import Place


class Wire(asyncio.Transport):
    """Keeps what is written, and counts how often it is given a limit."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.high = 64 << 10
        self.limited = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return 0, self.high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high is not None
        self.high = high
        self.limited += 1

    def get_extra_info(self, name: str, default: object = None) -> object:
        return default


class Line:
    congested = False

    def __init__(self) -> None:
        self.wire = Wire()
        self.transport: asyncio.Transport | None = self.wire

    async def drained(self) -> None:
        return

    def date(self) -> str:
        return "Sat, 21 Nov 2026 12:00:00 GMT"


def answer(
    line: Line,
    framing: Framing = Framing.SSE,
    request_id: str = "req_1",
    dialect: Dialect = Dialect.OPENAI_CHAT,
) -> QuickAnswer:
    return QuickAnswer(
        line,
        Place(dialect),
        request_id,
        framing=framing,
        keep_alive=None,
        head_waits=EqualWaits(60),
        keep_alive_s=60,
    )


def head_of(written: bytes) -> list[str]:
    return written[: written.index(b"\r\n\r\n")].decode().split("\r\n")


@pytest.mark.parametrize(
    ("framing", "content_type"),
    [(Framing.SSE, "text/event-stream; charset=utf-8"), (Framing.ARRAY, "application/json")],
)
async def test_it_says_what_it_is_and_what_was_dropped(framing: Framing, content_type: str) -> None:
    line = Line()
    client = answer(line, framing)
    client.note_dropped(["seed", "user"])
    assert client.push(b"data: 1\n\n")
    client.give_end(b"")
    assert head_of(line.wire.written) == [
        "HTTP/1.1 200 OK",
        "cache-control: no-cache",
        "x-accel-buffering: no",
        "x-request-id: req_1",
        "x-relayhub-dropped: seed, user",
        f"content-type: {content_type}",
        "transfer-encoding: chunked",
        "date: Sat, 21 Nov 2026 12:00:00 GMT",
    ]
    assert line.wire.written.endswith(b"\r\n\r\n9\r\ndata: 1\n\n\r\n0\r\n\r\n")


@pytest.mark.parametrize("framing", list(Framing))
@pytest.mark.parametrize("dialect", [Dialect.OPENAI_CHAT, Dialect.ANTHROPIC_MESSAGES])
async def test_what_was_dropped_is_all_that_it_has_beside_those_of_its_place(
    framing: Framing, dialect: Dialect
) -> None:
    lines = Line(), Line(), Line()
    one, other, plain_again = (answer(line, framing, "req_2", dialect) for line in lines)
    other.note_dropped(["seed"])
    plain_again.note_dropped(["seed"])
    plain_again.note_dropped([])
    for client in (one, other, plain_again):
        assert client.push(b"data: 1\n\n")
    plain, told, again = (line.wire.written for line in lines)
    assert again == plain
    assert told.replace(b"x-relayhub-dropped: seed\r\n", b"") == plain != told


async def test_a_line_break_in_what_was_dropped_is_a_defect() -> None:
    line = Line()
    client = answer(line)
    client.note_dropped(["seed\r\nset-cookie: b"])
    with pytest.raises(ValueError, match="line break"):
        client.push(b"data: 1\n\n")
    assert line.wire.written == b""


@pytest.mark.parametrize("value", ["a\nb", "a\r", "a\r\nset-cookie: b"])
async def test_a_line_break_in_it_is_a_defect(value: str) -> None:
    line = Line()
    with pytest.raises(ValueError, match="line break"):
        answer(line, request_id=value).push(b"data: 1\n\n")
    assert line.wire.written == b""


async def test_a_connection_is_limited_by_its_first_stream() -> None:
    line = Line()
    for _ in range(3):
        client = answer(line)
        assert client.push(b"data: 1\n\n")
        client.give_end(b"data: 2\n\n")
    assert (line.wire.limited, line.wire.high) == (1, PUSHED)


async def test_nothing_is_streamed_after_the_end() -> None:
    client = answer(Line())
    streaming = [client.streaming]
    assert client.push(b"data: 1\n\n")
    streaming.append(client.streaming)
    client.give_end(b"")
    streaming.append(client.streaming)
    assert streaming == [False, True, False]
    assert not client.push(b"data: 2\n\n")

"""A byte lane of messages shows and counts the same whether it reads its frames or compares them."""

from __future__ import annotations

import itertools

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from relayhub.dialects.anthropic_messages.native import MessagesTap
from relayhub.dialects.like_frames import LikeFrames
from relayhub.types.errors import UpstreamError


def event(kind: str, blanks: int = 0, **rest: object) -> bytes:
    data = orjson.dumps({"type": kind, **rest})
    return b"event: %b\ndata: %b%b}\n\n" % (kind.encode(), data[:-1], b" " * blanks)


def piece(kind: str, member: str, text: object, blanks: int = 0) -> bytes:
    return event("content_block_delta", blanks, index=0, delta={"type": kind, member: text})


def says(text: object, blanks: int = 0) -> bytes:
    return piece("text_delta", "text", text, blanks)


START = event("message_start", message={"id": "msg_1", "model": "up", "usage": {"input_tokens": 3, "output_tokens": 1}})
STOP = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 4})
END = event("message_stop")
BOTH = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "a", "thinking": "b"})
BROKEN = says("a").replace(b"event: ", b"event: \xff")
TEXTS = st.text(max_size=5) | st.sampled_from(["", "a", '"', "\\n", "\n", "}}", "  }"])
FRAMES = st.one_of(
    st.builds(says, TEXTS),
    st.builds(says, TEXTS, st.integers(0, 6)),
    st.builds(says, TEXTS, st.integers(0, 6)).map(lambda frame: frame.replace(b"\n", b"\r\n")),
    st.builds(piece, st.just("input_json_delta"), st.just("partial_json"), TEXTS),
    st.builds(piece, st.just("thinking_delta"), st.just("thinking"), TEXTS),
    st.builds(says, st.integers(0, 9) | st.none()),
    st.sampled_from([b"\xff", b"\\u00e9", b"\\ud800", b"\\/"]).map(lambda raw: says("@").replace(b"@", raw)),
    st.sampled_from([b" ", b"\n", b"\r\n", b"\n\n"]).map(lambda blank: says("@").replace(b'@"', b'@"' + blank)),
    st.sampled_from(
        [
            START,
            STOP,
            END,
            b": comment\n\n",
            b"data: {broken\n\n",
            event("ping"),
            event("error", error={"type": "overloaded_error", "message": "overloaded"}),
            says("a")[:-1],
            says("a") + says("b"),
            BOTH,
            BROKEN,
        ]
    ),
)


class Told:
    """What became of a stream that came in these pieces."""

    def __init__(self, pieces: list[bytes], rename_to: str | None) -> None:
        self.tap = MessagesTap(rename_to=rename_to)
        self.shown = b""
        self.failure: str | None = None
        try:
            for data in pieces:
                if self.tap.ended:
                    break
                self.shown += self.tap.feed(data)
            self.shown += self.tap.finish()
        except UpstreamError as error:
            self.failure = str(error)

    @property
    def all(self) -> tuple[object, ...]:
        tap = self.tap
        return self.shown, self.failure, tap.delivered_chars, tap.usage, tap.started, tap.ended


@settings(max_examples=150, deadline=None)
@given(
    frames=st.lists(FRAMES, max_size=12),
    cuts=st.lists(st.integers(0, 4000), max_size=5),
    begun=st.booleans(),
    rename_to=st.sampled_from([None, "public"]),
)
@example([says("a"), says("b"), says("c")], [], True, None)
@example([BOTH, BOTH, BOTH], [], True, None)
@example([says("a", 3), says("b", 3).replace(b"}  ", b"]  "), says("c", 3)], [], True, None)
@example([BROKEN, BROKEN, BROKEN], [], True, None)
@example([says("a"), says("b").replace(b'b"', b'b"\n'), says("c")], [], True, None)
def test_wherever_the_reads_fall_the_same_is_shown_and_counted(
    frames: list[bytes], cuts: list[int], begun: bool, rename_to: str | None
) -> None:
    """A stream that comes byte by byte is always read."""
    frames = [*([START] if begun else []), *frames, STOP, END]
    wire = b"".join(frames)
    at = sorted({0, *itertools.accumulate(map(len, frames)), *(cut % len(wire) for cut in cuts)})
    pieces = [wire[start:end] for start, end in itertools.pairwise(at)]
    read = Told([wire[place : place + 1] for place in range(len(wire))], rename_to)
    assert Told(pieces, rename_to).all == read.all


def passed(frames: list[bytes], before: bytes = START) -> list[bool]:
    """Of which the comparison of the stream says, one after the other, that they need not be read."""
    tap = MessagesTap(rename_to="public")
    tap.feed(before)
    told = []
    for frame in frames:
        told.append(tap.comparison.chars(frame) >= 0)
        tap.feed(frame)
    return told


@pytest.mark.parametrize(
    "frames",
    [
        [says(text) for text in ("one", "two", '"three"\n', "vier")],
        [says(text, blanks) for text, blanks in (("one", 3), ("two", 0), ("three", 1), ("four", 12))],
        [piece("input_json_delta", "partial_json", text) for text in ('{"a', '":', "1", "}")],
    ],
)
def test_text_and_arguments_are_read_once(frames: list[bytes]) -> None:
    assert passed(frames) == [False, True, True, True]


def test_thinking_is_read_as_it_may_have_to_be_kept() -> None:
    assert passed([piece("thinking_delta", "thinking", text) for text in ("a", "b", "c")]) == [False] * 3


def test_nothing_passes_before_the_answer_has_begun() -> None:
    assert passed([says("one"), says("two"), says("three")], before=b": comment\n\n") == [False] * 3


def test_what_comes_between_is_read_and_what_follows_is_compared_again() -> None:
    assert passed([says("a"), says("b"), event("ping"), says("c"), says("d")]) == [False, True, False, False, True]


@pytest.mark.parametrize("blank", [b" ", b"\n", b"\r\n", b"\n\n"])
@pytest.mark.parametrize("padded", [b"", b',"obfuscation":"xyz"'])
def test_blanks_around_a_text_are_read_for_they_may_end_a_line(blank: bytes, padded: bytes) -> None:
    frame = says("@").replace(b'@"', b'@"' + padded)
    like = LikeFrames()
    assert like.begin(frame, b'"text"', "@")
    assert like.chars(frame) == 1
    for quote in (b'"@', b'@"', *([b'"xyz', b'xyz"'] if padded else [])):
        other = frame.replace(quote, blank + quote if quote.startswith(b'"') else quote + blank)
        assert like.chars(other) == -1


def test_a_frame_in_a_chunk() -> None:
    like = LikeFrames()
    assert like.begin(says("one"), b'"text"', "one")
    inner = says("zwölf")
    line = b"%x\r\n" % len(inner)
    assert like.chunk_chars(line + inner + b"\r\n", line) == 5
    assert like.shown(inner) == inner
    for broken in (
        inner,
        inner + b"\n",
        inner + b"\r\nx",
        inner[:-1] + b"\r\n",
        b" " + inner + b"\r\n",
        inner + inner + b"\r\n",
    ):
        assert like.chunk_chars(line + broken, line) == -1
    assert like.chunk_chars(line + inner + b"\r\n", b"1" + line) == -1

"""The helpers for readers: any split of the same bytes gives the same lines and events, and nothing grows for ever."""

from __future__ import annotations

import pytest

from relayhub.sdk import LineSplitter, SseEvent, SseReader, UpstreamError

LINES = b'{"a":1}\r\n\n \n{"b":"\xe4\xb8\x96"}\n{"c":3}'
EVENTS = (
    b"\xef\xbb\xbf: hello\n\nevent: begin\ndata: {\ndata: }\n\ndata:1\r\n\r\nevent: ping\n\nid: 7\nevent:end\ndata: 2\n"
)


def lines(*pieces: bytes) -> tuple[list[bytes], bytes]:
    splitter = LineSplitter()
    return [line for piece in pieces for line in splitter.feed(piece)], splitter.rest()


def events(*pieces: bytes) -> list[SseEvent]:
    reader = SseReader()
    return [event for piece in pieces for event in reader.feed(piece)] + reader.close()


def test_lines_are_whole_and_the_last_one_is_kept_apart() -> None:
    assert lines(LINES) == ([b'{"a":1}', '{"b":"世"}'.encode()], b'{"c":3}')


def test_events_have_their_name_and_their_data() -> None:
    assert events(EVENTS) == [SseEvent("begin", b"{\n}"), SseEvent("", b"1"), SseEvent("end", b"2")]


@pytest.mark.parametrize("cut", range(len(LINES)))
def test_lines_do_not_depend_on_the_split(cut: int) -> None:
    assert lines(LINES[:cut], LINES[cut:]) == lines(LINES)


@pytest.mark.parametrize("cut", range(len(EVENTS)))
def test_events_do_not_depend_on_the_split(cut: int) -> None:
    assert events(EVENTS[:cut], EVENTS[cut:]) == events(EVENTS)


def test_byte_by_byte_is_the_same() -> None:
    assert lines(*(bytes([byte]) for byte in LINES)) == lines(LINES)
    assert events(*(bytes([byte]) for byte in EVENTS)) == events(EVENTS)


def test_a_line_that_never_ends_is_given_up() -> None:
    splitter = LineSplitter(max_line=100)
    splitter.feed(b"x" * 100)
    with pytest.raises(UpstreamError):
        splitter.feed(b"x")


def test_the_limit_is_on_one_line_not_on_the_stream() -> None:
    splitter = LineSplitter(max_line=100)
    assert [len(splitter.feed(b"x" * 99 + b"\n")) for _ in range(5)] == [1] * 5


def test_what_came_before_an_endless_line_is_given_out_first() -> None:
    splitter = LineSplitter(max_line=10)
    assert splitter.feed(b"good\n" + b"x" * 11) == [b"good"]
    with pytest.raises(UpstreamError):
        splitter.rest()

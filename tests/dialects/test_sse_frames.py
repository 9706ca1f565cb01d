"""Cutting a stream into frames: against a slow, obvious reader of the grammar, at every split."""

from __future__ import annotations

import re
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayhub.dialects.sse import FrameSplitter, data_of, frame_of
from relayhub.types.errors import ErrorKind, UpstreamError
from tests.dialects.observed import splits

BOM = b"\xef\xbb\xbf"


def obvious_data(stream: bytes) -> list[bytes]:
    """The data of each event, by the letter of the WHATWG grammar. An unterminated event at the end counts."""
    events: list[bytes] = []
    data: list[bytes] = []
    for line in [*re.split(rb"\r\n|\n|\r", stream.removeprefix(BOM)), b""]:
        if not line:
            if b"\n".join(data):
                events.append(b"\n".join(data))
            data = []
        elif line.split(b":")[0] == b"data":
            value = line[5:]
            data.append(value[1:] if value.startswith(b" ") else value)
    return events


def read(pieces: list[bytes] | tuple[bytes, ...]) -> tuple[list[bytes], list[bytes]]:
    """Frames, the rest last, and the data in them."""
    splitter = FrameSplitter()
    frames = [frame for piece in pieces for frame in splitter.feed(piece)]
    frames.append(splitter.rest())
    return frames, [data for frame in frames if (data := data_of(frame)) is not None]


lines = st.sampled_from(
    [
        b"data: x",
        b"data:y",
        b"data:  z",
        b"data",
        b"data:",
        b": ping",
        b"event: e",
        b"id: 1",
        b"retry: 5",
        b"data: \xe4\xb8",
        *[b""] * 3,
        b"database: no",
        b"nonsense",
        b'data: {"a":1}',
    ]
)
ends = st.sampled_from([b"\n", b"\r\n", b"\r"])
streams = st.builds(
    lambda bom, parts, tail: bom + b"".join(line + end for line, end in parts) + tail,
    st.sampled_from([b"", BOM]),
    st.lists(st.tuples(lines, ends), max_size=14),
    st.sampled_from([b"", b"data: tail"]),
)


@given(streams)
def test_any_line_ends_read_as_the_grammar_says(stream: bytes) -> None:
    frames, data = read([stream])
    assert data == obvious_data(stream)
    assert b"".join(frames) == stream.removeprefix(BOM)


@given(streams)
def test_the_frames_do_not_depend_on_the_reads(stream: bytes) -> None:
    whole, _ = read([stream])
    for pieces in splits(stream):
        assert read(list(pieces))[0] == whole


@given(streams, st.lists(st.integers(0, 200), max_size=6))
def test_several_cuts_at_once(stream: bytes, cuts: list[int]) -> None:
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    pieces = [stream[a:b] for a, b in pairwise(places)]
    assert read(pieces) == read([stream])


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_an_event_is_given_out_as_soon_as_it_is_whole(end: bytes) -> None:
    splitter = FrameSplitter()
    for _ in range(3):
        frame = b"data: 1" + end + end
        assert splitter.feed(frame[:-1]) == []
        assert splitter.feed(frame[-1:]) == [frame]
        assert splitter.feed(frame) == [frame]


def test_an_ordinary_frame_is_not_copied() -> None:
    splitter = FrameSplitter()
    splitter.feed(b": hi\n\n")
    frame = b'data: {"a":1}\n\n'
    assert splitter.feed(frame)[0] is frame


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_a_frame_over_the_limit_is_an_upstream_error_however_it_comes(size: int) -> None:
    splitter = FrameSplitter(max_frame=100)
    good, bad = b"data: ok\n\n", b"data: " + b"x" * 200 + b"\n\n"
    stream = good + bad
    frames: list[bytes] = []

    def feed_all() -> None:
        for at in range(0, len(stream) + size, size):
            frames.extend(splitter.feed(stream[at : at + size]))

    with pytest.raises(UpstreamError) as caught:
        feed_all()
    assert frames == [good]
    assert caught.value.kind is ErrorKind.UPSTREAM_FAILED


def test_a_frame_of_just_the_limit_passes() -> None:
    for frame in (b"data: " + b"x" * 92 + b"\n\n", b"data: " + b"x" * 90 + b"\r\n\r\n"):
        assert len(frame) == 100
        for pieces in splits(frame * 2):
            splitter = FrameSplitter(max_frame=100)
            assert [out for piece in pieces for out in splitter.feed(piece)] == [frame, frame]


@pytest.mark.parametrize("tail", [b"\n\n", b"\r\n\r\n"])
def test_a_long_line_in_single_bytes_costs_linear_time(tail: bytes) -> None:
    def seconds(size: int) -> float:
        splitter = FrameSplitter()
        stream = b"data: " + b"x" * size + tail
        start = time.process_time()
        frames = [frame for at in range(len(stream)) for frame in splitter.feed(stream[at : at + 1])]
        assert frames == [stream]
        return time.process_time() - start

    small = max(seconds(20_000), 0.005)
    assert seconds(200_000) < 40 * small, "ten times the bytes may cost ten times the work, not a hundred times"


@given(st.lists(st.sampled_from([b"x", b"", b"{}", b" y"]), min_size=1, max_size=4).map(b"\n".join).filter(bool))
def test_a_written_frame_reads_back(data: bytes) -> None:
    assert data_of(frame_of(data)) == data
    assert FrameSplitter().feed(b": c\n\n" + frame_of(data))[-1] == frame_of(data)

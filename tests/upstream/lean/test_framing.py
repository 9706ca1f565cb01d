"""Where a body ends: the same wherever the reads fall, and an error wherever it is in doubt."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayhub.types.limits import MAX_CHUNK_LINE, MAX_UPSTREAM_HEAD
from relayhub.upstream.lean.framing import Broken, Chunked, Framing, Length, UntilClose, chunk_start, sized
from relayhub.upstream.lean.head import parse_head

BODIES = st.lists(st.binary(min_size=1, max_size=40), max_size=8)
CUTS = st.lists(st.integers(0, 500), max_size=12)


def chunked(*pieces: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + end


def reads(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in itertools.pairwise(places)]


def feed(framing: Framing, *data: bytes) -> bytes:
    """Up to the first fault, which is raised."""
    body = b""
    for piece in data:
        assert not framing.done
        body += framing.feed(piece)
        if framing.broken is not None:
            raise framing.broken
    return body


def refuses(*data: bytes) -> None:
    with pytest.raises(Broken):
        feed(Chunked(), *data)


@given(BODIES, CUTS, st.sampled_from([b"0\r\n\r\n", b"000;x=y\r\na: b\r\nc:\r\n\r\n", b"0 \r\n\r\n"]))
def test_chunks_are_put_together_wherever_the_reads_fall(pieces: list[bytes], cuts: list[int], end: bytes) -> None:
    framing = Chunked()
    assert feed(framing, *reads(chunked(*pieces, end=end), cuts)) == b"".join(pieces)
    assert (framing.done, framing.excess) == (True, False)


def test_how_a_chunk_begins_is_told_by_its_size() -> None:
    told = {size: chunk_start(size) for size in range(6000)}
    starts = {
        len(wire): wire[: wire.index(b"\r\n") + 2] for wire in (chunked(b"x" * n, end=b"") for n in range(1, 5900))
    }
    assert {size: start for size, start in told.items() if len(start) <= size <= max(starts)} == starts


@given(BODIES, CUTS)
def test_between_chunks_is_where_a_further_one_may_begin(pieces: list[bytes], cuts: list[int]) -> None:
    framing = Chunked()
    ends = {sum(len(chunked(piece, end=b"")) for piece in pieces[:count]) for count in range(len(pieces) + 1)}
    come = 0
    for data in reads(chunked(*pieces, end=b""), cuts):
        framing.feed(data)
        come += len(data)
        assert framing.between_chunks == (come in ends)


@given(BODIES, CUTS)
def test_no_part_of_a_chunked_body_passes_for_the_whole(pieces: list[bytes], cuts: list[int]) -> None:
    whole = chunked(*pieces)
    for length in range(len(whole)):
        framing = Chunked()
        feed(framing, *reads(whole[:length], cuts))
        assert not framing.done
        with pytest.raises(Broken):
            framing.end()


@given(st.binary(min_size=1, max_size=100), CUTS)
def test_no_part_of_a_body_with_a_length_passes_for_the_whole(body: bytes, cuts: list[int]) -> None:
    framing = sized(len(body))
    assert feed(framing, *reads(body[:-1], cuts)) == body[:-1]
    assert not framing.done
    with pytest.raises(Broken):
        framing.end()
    assert framing.feed(body[-1:]) == body[-1:]
    assert (framing.done, framing.excess) == (True, False)


@pytest.mark.parametrize(
    "line",
    [b"zz", b"-1", b"+5", b"0x5", b"1_0", b"5 5", b" 5", b"", b";x", b"1" * 17, b"5;\x00", b"5\r", b"\xb2", b"5,5"],
)
@pytest.mark.parametrize("cut", [False, True])
def test_a_bad_chunk_size_is_refused(line: bytes, cut: bool) -> None:
    framing = Chunked()
    data = chunked(b"good", end=b"") + line + b"\r\nmore\r\n"
    with pytest.raises(Broken):
        feed(framing, *(reads(data, list(range(len(data)))) if cut else [data]))


def test_what_came_before_a_fault_is_not_lost() -> None:
    framing = Chunked()
    assert framing.feed(chunked(b"good", b"too", end=b"zz\r\n")) == b"goodtoo"
    assert framing.broken is not None


@pytest.mark.parametrize("line", [b"c", b"C", b"0c", b"c ", b"c;x=y", b"c;"])
@pytest.mark.parametrize("before", [b"", b"one\r\n", b"c\r\n"])
def test_a_chunk_that_comes_by_itself_is_read_however_it_begins(line: bytes, before: bytes) -> None:
    framing, text = Chunked(), b"twelve\r\nsix."
    for data in (text, before.ljust(12, b"\n")):
        assert framing.feed(line + b"\r\n" + data + b"\r\n") == data
        assert framing.between_chunks
    assert framing.feed(b"c\r\n" + text) == text
    assert not framing.between_chunks
    assert framing.feed(b"\r\nc\r\n" + text + b"\r\n") == text
    assert framing.feed(b"0\r\n\r\n") == b""
    assert (framing.done, framing.excess, framing.broken) == (True, False, None)


def test_a_bad_chunk_size_is_refused_before_its_line_has_ended() -> None:
    refuses(b"z")


def test_a_line_feed_alone_ends_no_chunk_size() -> None:
    refuses(b"5\nhello\r\n0\r\n\r\n")


@pytest.mark.parametrize("after", [b"xx", b"\n", b"\rx", b"0\r\n\r\n"])
def test_what_follows_a_chunk_must_be_the_end_of_its_line(after: bytes) -> None:
    refuses(b"2\r\nab" + after)


def test_a_chunk_line_is_bounded_however_it_comes() -> None:
    start = b"5;" + b"x" * (MAX_CHUNK_LINE - 10)
    feed(Chunked(), start)
    refuses(start, b"x" * 100)


@pytest.mark.parametrize("trailer", [b"no colon", b" folded: 1", b"a : 1", b"a: \x00"])
def test_a_bad_trailer_is_refused(trailer: bytes) -> None:
    refuses(chunked(b"x", end=b"0\r\n" + trailer + b"\r\n\r\n"))


def test_trailers_are_bounded_however_they_come() -> None:
    line = b"a: " + b"b" * 1000 + b"\r\n"
    refuses(chunked(b"x", end=b"0\r\n" + line * 70 + b"\r\n"))
    most = [line] * (MAX_UPSTREAM_HEAD // len(line))
    feed(Chunked(), b"0\r\n", *most)
    refuses(b"0\r\n", *most, line)


@pytest.mark.parametrize("framing", [sized(2), Chunked()])
def test_bytes_after_the_end_are_noticed_and_left_out(framing: Framing) -> None:
    data = b"ab" if isinstance(framing, Length) else chunked(b"ab")
    assert framing.feed(data + b"HTTP/1.1 200 OK") == b"ab"
    assert (framing.done, framing.excess) == (True, True)


def test_a_body_of_length_zero_is_over_before_it_begins() -> None:
    assert sized(0).done
    assert not sized(1).done
    assert parse_head(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", "POST").body.done


def test_without_framing_the_end_of_the_connection_ends_the_body() -> None:
    framing = UntilClose()
    assert feed(framing, b"a", b"b") == b"ab"
    assert not framing.done
    framing.end()
    assert framing.done

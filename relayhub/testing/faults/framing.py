"""Answers whose framing is broken or odd: where a reader in doubt must drop the connection."""

from __future__ import annotations

from relayhub.testing.faults.answers import JSON, LAST_CHUNK, chunks, head, streamed, whole
from relayhub.testing.faults.steps import Close, Fault, Flood, Reset, does
from relayhub.testing.upstream import Hang, Wait

APART_S = 0.1
"""So that two pieces come in two reads."""


def short_body(body: bytes, missing: int = 100) -> Fault:
    """Content-Length promises ``missing`` bytes more than come."""
    return does(head(headers=[*JSON, ("content-length", str(len(body) + missing))]) + body, Close())


def two_lengths(body: bytes) -> Fault:
    """Two Content-Length headers that differ."""
    lengths = [("content-length", str(len(body))), ("content-length", str(len(body) + 1))]
    return does(head(headers=[*JSON, *lengths]) + body, Hang())


def length_and_chunks(body: bytes, after: bytes = b"") -> Fault:
    """Content-Length and Transfer-Encoding in one head, each with another idea of where the body ends. ``after``: what
    a reader that believes the length takes for the next answer."""
    framing = [("content-length", "5"), ("transfer-encoding", "chunked")]
    return does(head(headers=[*JSON, *framing]) + chunks(body) + LAST_CHUNK + after, Hang())


def bad_chunk_size(*good: bytes, size: bytes = b"zz") -> Fault:
    """A stream with a line in mid-body that is no chunk size, in a read of its own; then silence."""
    return does(streamed(*good, end=False), Wait(APART_S), size + b"\r\n", Hang())


def chunk_cut_short(*good: bytes) -> Fault:
    """A chunk announces more than comes before the connection ends."""
    return does(streamed(*good, end=False) + b"400\r\ndata: ", Close())


def unknown_coding(body: bytes) -> Fault:
    """Transfer-Encoding names a coding that nobody has asked for."""
    return does(head(headers=[*JSON, ("transfer-encoding", "gzip, chunked")]) + chunks(body) + LAST_CHUNK, Hang())


def not_http(line: bytes = b"SSH-2.0-OpenSSH_9.9") -> Fault:
    """Another protocol answers."""
    return does(line + b"\r\n", Close())


def reset_at(answer: bytes, byte: int) -> Fault:
    """The connection is reset once ``byte`` bytes of a good answer have been sent. The pause lets the other side read them:
    a reset discards what is under way."""
    return does(answer[:byte], *((Wait(APART_S),) if byte else ()), Reset())


def ends_at(answer: bytes, byte: int) -> Fault:
    """The connection is closed in order after ``byte`` bytes of a good answer."""
    return does(answer[:byte], Close())


def unasked_answer(body: bytes, smuggled: bytes) -> Fault:
    """A second answer right behind the first one, which would be taken for that of the next request."""
    return does(whole(body) + whole(smuggled))


def interim(answer: bytes, times: int = 1) -> Fault:
    """100 and 103 before the answer."""
    early = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n"
    return does(early * times + answer)


def trailers(*pieces: bytes, count: int | None) -> Fault:
    """A chunked answer with ``count`` trailer fields, or with no end of them."""
    start = streamed(*pieces, end=False) + b"0\r\n"
    return does(start, Flood(b"x-trailer: value\r\n", count), b"\r\n", Close())

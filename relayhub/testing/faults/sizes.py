"""Answers that are too large: in a header, in their number, in a line, in the body, once inflated."""

from __future__ import annotations

import zlib

from relayhub.testing.faults.answers import JSON, LAST_CHUNK, chunks, head, streamed, whole
from relayhub.testing.faults.steps import Close, Fault, Flood, does

PIECE = 64 << 10

GZIP = 31
"""For zlib: gzip's format with the largest window."""


def long_header(body: bytes, size: int = 128 << 10) -> Fault:
    """One header of ``size`` bytes."""
    return does(whole(body, headers=[*JSON, ("x-long", "a" * size)]))


def many_headers(body: bytes, count: int = 20_000) -> Fault:
    """A head of ``count`` fields."""
    return does(whole(body, headers=[*JSON, *((f"x-{number}", "a") for number in range(count))]))


def endless_head() -> Fault:
    """A head that never ends."""
    return does(b"HTTP/1.1 200 OK\r\n", Flood(b"x-more: " + b"a" * 1000 + b"\r\n"), executed=False)


def long_body(size: int) -> Fault:
    """A JSON text of ``size`` bytes, with its length."""
    pieces = size // PIECE
    length = pieces * PIECE + len(_BEFORE) + len(_AFTER)
    start = head(headers=[*JSON, ("content-length", str(length))]) + _BEFORE
    return does(start, Flood(b"a" * PIECE, pieces), _AFTER, Close())


def endless_body() -> Fault:
    """A JSON text that never ends, without a length."""
    start = head(headers=[*JSON, ("transfer-encoding", "chunked")]) + chunks(_BEFORE)
    return does(start, Flood(chunks(b"a" * PIECE)))


def long_line(*good: bytes, size: int) -> Fault:
    """A stream in which a line of ``size`` bytes follows the good events."""
    start = streamed(*good, end=False) + chunks(b"data: ")
    return does(start, Flood(chunks(b"a" * PIECE), size // PIECE), chunks(b"\n\n") + LAST_CHUNK, Close())


def compressed_bomb(size: int) -> Fault:
    """``size`` bytes of JSON, a thousandth of that on the wire."""
    squeezing = zlib.compressobj(9, wbits=GZIP)
    pieces = [squeezing.compress(piece) for piece in (_BEFORE, *[b"a" * PIECE] * (size // PIECE), _AFTER)]
    body = b"".join([*pieces, squeezing.flush()])
    return does(whole(body, headers=[*JSON, ("content-encoding", "gzip")]))


def falsely_compressed(body: bytes) -> Fault:
    """A plain body that says it is compressed."""
    return does(whole(body, headers=[*JSON, ("content-encoding", "gzip")]))


_BEFORE = b'{"text":"'
_AFTER = b'"}'

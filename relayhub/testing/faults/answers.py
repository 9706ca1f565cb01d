"""Answers in HTTP/1.1 as bytes, well-formed as far as they are told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Header = tuple[str, str]

JSON: tuple[Header, ...] = (("content-type", "application/json"),)
EVENTS: tuple[Header, ...] = (("content-type", "text/event-stream"),)
LAST_CHUNK = b"0\r\n\r\n"


def head(status: str = "200 OK", headers: Iterable[Header] = JSON) -> bytes:
    """A head. ``status``: number and reason."""
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, "\r\n"]).encode("utf-8", "surrogateescape")


def whole(body: bytes, *, status: str = "200 OK", headers: Sequence[Header] = JSON) -> bytes:
    """An answer with its length."""
    return head(status, [*headers, ("content-length", str(len(body)))]) + body


def chunks(*pieces: bytes) -> bytes:
    """Pieces of a body as chunks, without the end."""
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)


def streamed(*pieces: bytes, end: bool = True, headers: Sequence[Header] = EVENTS) -> bytes:
    """A chunked answer; without ``end`` its body stays open."""
    body = chunks(*pieces) + (LAST_CHUNK if end else b"")
    return head(headers=[*headers, ("transfer-encoding", "chunked")]) + body

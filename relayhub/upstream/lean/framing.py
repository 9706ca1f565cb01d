"""Where the body of an answer ends, and what of the bytes on the wire belongs to it. Sans-io."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Protocol

import msgspec

from relayhub.types.limits import MAX_CHUNK_LINE, MAX_UPSTREAM_HEAD

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16}+)[ \t]*+(?:;[\t\x20-\x7e\x80-\xff]*+)?\r\n")
_SIZE_SO_FAR = re.compile(rb"(?:[0-9A-Fa-f]{1,16}(?:[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?\r?)?)?")
_TRAILERS = re.compile(rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[\t\x20-\x7e\x80-\xff]*+\r\n)++\r\n")
_PLAIN = re.compile(rb"[0-9A-Fa-f]{1,8}")
_PLAIN_LINE = 10
"""Bytes of a line like that, with its end."""

_NEXT_LINE = 2 + _PLAIN_LINE
"""With the end of the data before it."""

_KEPT_STARTS = 4096
"""Most chunks are as long as one before, and their data begins like its."""

_LINE_END = b"\r\n"
_LAST = b"0\r\n\r\n"
"""The last chunk, as most write it, and no trailers."""


class Broken(Exception):
    """The answer is not what HTTP allows, or ended early. Nothing more may be read from its connection."""


class Framing(Protocol):
    """``done``: the body is complete. ``excess``: bytes came after its end, which nobody asked for. ``broken``: what is
    wrong with what follows the bytes that :meth:`feed` has returned last."""

    done: bool
    excess: bool
    broken: Broken | None

    @property
    def between_chunks(self) -> bool:
        """Nothing of a chunk has come and not been returned, and another one may follow."""
        ...

    def feed(self, data: bytes) -> bytes:
        """What of ``data`` is body. Not to be called once ``done`` or ``broken``."""
        ...

    def whole(self, data: bytes) -> bytes | None:
        """The body, if ``data`` is plainly all of it and nothing else. ``None``: see what :meth:`feed` says. To be asked
        before anything was fed; changes nothing."""
        ...

    def end(self) -> None:
        """The connection has ended. Raises :class:`Broken` unless that is a proper end."""
        ...


class Length(msgspec.Struct, eq=False):
    """Content-Length; see :func:`sized`."""

    _left: int
    done: bool
    excess: bool = False
    broken: Broken | None = None

    def feed(self, data: bytes) -> bytes:
        left = self._left - len(data)
        if left > 0:
            self._left = left
            return data
        self.done = True
        if left == 0:
            return data
        self.excess = True
        return data[:left]

    def whole(self, data: bytes) -> bytes | None:
        return data if len(data) == self._left else None

    @property
    def between_chunks(self) -> bool:
        return False

    def end(self) -> None:
        raise Broken(f"the connection ended {self._left} bytes before the end of the answer")


def sized(length: int) -> Length:
    """A body of so many bytes; one of none is over before it begins."""
    return Length(length, not length)


class UntilClose:
    """Neither a length nor chunks: the body ends with the connection."""

    __slots__ = ("broken", "done", "excess")

    def __init__(self) -> None:
        self.done = False
        self.excess = False
        self.broken: Broken | None = None

    def feed(self, data: bytes) -> bytes:
        return data

    def whole(self, data: bytes) -> bytes | None:
        return None

    @property
    def between_chunks(self) -> bool:
        return False

    def end(self) -> None:
        self.done = True


@lru_cache(None)
def chunk_start(size: int) -> bytes:
    """How a chunk begins that takes ``size`` bytes with all its framing, as most write it; more than ``size`` bytes, which
    nothing of that size begins with, if none does. Remembered: there are as many sizes as a read can have."""
    for digits in range(1, 9):
        data = size - digits - len(b"\r\n\r\n")
        if data > 0 and len(start := b"%x" % data) == digits:
            return start + _LINE_END
    return b"?" * (size + 1)


def _whole_chunks(data: bytes, pieces: list[bytes]) -> tuple[int, bool]:
    """Take all that stand at the beginning of a read, but for the last one of all, and for what begins less plainly; returns
    where they end, and whether nothing but :data:`_LAST` follows."""
    at = 0
    size, start = _known_start(data[:_PLAIN_LINE])
    while size > 0:
        end = start + size
        size, line = _known_next(data[end : end + _NEXT_LINE])
        if not line:
            break
        pieces.append(data[start:end])
        at, start = end + 2, end + line
    return at, size == 0


def _plain_start(begun: bytes) -> tuple[int, int]:
    """Of a chunk whose first bytes these are: how much data it has, and where that begins. 0: it is :data:`_LAST`, and all
    there is; -1: its line says more, or is not right, or it is another last one."""
    line, end, _ = begun.partition(_LINE_END)
    size = int(line, 16) if end and _PLAIN.fullmatch(line) else -1
    return size if size > 0 or begun == _LAST else -1, len(line) + 2


def _next_start(behind: bytes) -> tuple[int, int]:
    """The same from the end of another one's data; its data begins at 0 where that has no line's end."""
    if not behind.startswith(_LINE_END):
        return -1, 0
    size, start = _plain_start(behind[2:])
    return size, start + 2


_known_start = lru_cache(_KEPT_STARTS)(_plain_start)
_known_next = lru_cache(_KEPT_STARTS)(_next_start)


class Chunked(msgspec.Struct, eq=False):
    """Transfer-Encoding: chunked. Extensions and trailers are checked and left out."""

    _left: int = 0
    _held: bytes = b""
    _after_data: bool = False
    _in_trailers: bool = False
    done: bool = False
    excess: bool = False
    broken: Broken | None = None

    def feed(self, data: bytes) -> bytes:
        if self._held:
            data = self._held + data
            self._held = b""
        pieces: list[bytes] = []
        at = 0
        if not (self._left or self._after_data or self._in_trailers):
            size = len(data)
            rest = data.removeprefix(chunk_start(size))
            if len(rest) < size and len(piece := rest.removesuffix(_LINE_END)) < len(rest):
                return piece  # one chunk, and nothing else
            at, self.done = _whole_chunks(data, pieces)
        if at < len(data) and not self.done:
            try:
                self._pieces(data, at, pieces)
            except Broken as error:
                self.broken = error
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def whole(self, data: bytes) -> bytes | None:
        if not data.endswith(_LAST):
            return None
        pieces: list[bytes] = []
        _, is_all = _whole_chunks(data, pieces)
        return b"".join(pieces) if is_all else None

    @property
    def between_chunks(self) -> bool:
        return not (self._left or self._held or self._after_data or self._in_trailers or self.done or self.broken)

    def _pieces(self, data: bytes, at: int, pieces: list[bytes]) -> None:
        if self._in_trailers:
            at = self._trailers(data, at)
        while at < len(data):
            if self._left:
                piece = data[at : at + self._left]
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
                self._after_data = True
            else:
                at = self._line(data, at)

    def _line(self, data: bytes, at: int) -> int:
        """Read what stands between the data of two chunks; returns where to go on, which is the end if it is not whole."""
        if self._after_data:
            if not data.startswith(_LINE_END, at):
                return self._hold(data, at, data[at:] == b"\r")
            at += 2
            self._after_data = False
            if at == len(data):
                return at
        match = _SIZE.match(data, at)
        if match is None:
            return self._hold(data, at, len(data) - at <= MAX_CHUNK_LINE and bool(_SIZE_SO_FAR.fullmatch(data, at)))
        self._left = int(match[1], 16)
        if self._left:
            return match.end()
        self._in_trailers = True
        return self._trailers(data, match.end())

    def _trailers(self, data: bytes, at: int) -> int:
        if data.startswith(_LINE_END, at):
            end = at + 2
        else:
            end = data.find(b"\r\n\r\n", at) + 4
            if end < 4:
                return self._hold(data, at, len(data) - at <= MAX_UPSTREAM_HEAD)
            if end - at > MAX_UPSTREAM_HEAD or not _TRAILERS.fullmatch(data, at, end):
                raise Broken("the trailers of the answer are not valid HTTP")
        self.done = True
        self.excess = end < len(data)
        return len(data)

    def _hold(self, data: bytes, at: int, possible: bool) -> int:
        """Keep the beginning of a line for the next read, if anything valid can become of it."""
        if not possible:
            raise Broken(f"the chunks of the answer are broken at {data[at : at + 80]!r}")
        self._held = data[at:]
        return len(data)

    def end(self) -> None:
        raise Broken("the connection ended in the middle of a chunked answer")

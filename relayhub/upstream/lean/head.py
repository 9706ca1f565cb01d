"""The head of an answer, read strictly: where two readers could disagree about its framing, there is no answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TypeAlias

import msgspec

from relayhub.types.limits import MAX_UPSTREAM_HEADERS
from relayhub.upstream.lean.framing import Broken, Chunked, Framing, UntilClose, sized

_START = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*+)?")
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]++):([\t\x20-\x7e\x80-\xff]*+)")
_NEVER_TWICE = frozenset({"content-length", "transfer-encoding", "content-encoding"})
_TIMEOUT = re.compile(r"(?:^|[,; \t])timeout=([0-9]{1,6})(?:$|[,; \t])", re.IGNORECASE)
_KEPT_LINES = 1024
"""Most lines of an answer's head are those of the one before."""

_LONGEST_KEPT = 128
"""Bytes of a line. Longer ones are mostly cookies and policies."""

_KEPT_STARTS = 16

_LESSONS = 16
"""So many heads in a row that are not like the one before, and no more are learnt on that connection."""

_LONGEST_HEAD_KEPT = 4 << 10
"""Bytes: every connection may keep one."""

_LENGTH_LINE = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: ([0-9]++)\r\n")
"""As nearly all write it."""

_LONGEST_LENGTH = 18
"""Digits: below 2^63, whatever the reader on the other side counts with."""


class Head(msgspec.Struct, frozen=True):
    """``keep_alive``: the upstream will take another request on this connection. ``idle_s``: for how long it says it
    waits for one. ``coding``: the content coding, ``None`` for none. Header names are lower case."""

    status: int
    headers: dict[str, str]
    body: Framing
    keep_alive: bool
    idle_s: float | None
    coding: str | None


Whole: TypeAlias = "tuple[str, float | None, bytes]"
"""Of a good answer: its media type, for how long the upstream says it keeps the connection, and the body."""


def is_plain(head: Head) -> bool:
    """It begins a good answer (2xx), not coded, that leaves its connection open."""
    return 200 <= head.status < 300 and head.keep_alive and head.coding is None


def media_type(headers: Mapping[str, str]) -> str:
    """Lower case, without parameters; empty if they say none."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


class KnownHead(msgspec.Struct, frozen=True):
    """One that others may be like, the answer to ``method``. Its ``head`` has no body, nor headers that a reader was given.
    ``before``, ``after``: what it had around the length; of a body in chunks, all and nothing. ``alike``: bytes of both.
    ``whole``: what :meth:`Heads.whole` needs of it, if an answer that is told so can begin like that."""

    head: Head
    method: str
    before: bytes
    after: bytes
    alike: int
    whole: tuple[str, bytes, int, bytes, int, int, str, float | None] | None


class NewestHead(msgspec.Struct):
    """What was learnt last on any of several connections to the same upstream: a new one begins with it."""

    known: KnownHead | None = None


class Heads:
    """Those of one connection, read as :func:`parse_head` does. Upstreams that give their answers no id, and no finer time
    than the second (model servers in one's own network, mostly), send heads that differ from the one before in the length of
    the body alone, or, where that comes in chunks, not at all; such a one need not be taken apart again."""

    __slots__ = ("_known", "_lessons", "_newest", "_whole")

    def __init__(self, newest: NewestHead | None = None) -> None:
        """``newest``: of the upstream's other connections."""
        self._newest = newest
        self._lessons = _LESSONS
        known = self._known = None if newest is None else newest.known
        """The last one."""
        self._whole = None if known is None else known.whole

    def read(self, block: bytes, method: str) -> Head:
        """See :func:`parse_head`."""
        known = self._known
        if known is None or method != known.method:
            return self._read_anew(block, method)
        last, after = known.head, known.after
        body: Framing
        if not after:
            if block != known.before:
                return self._read_anew(block, method)
            headers, body = last.headers.copy(), Chunked()
        else:
            differs = block.removeprefix(known.before).removesuffix(after)
            if len(block) - len(differs) != known.alike:
                return self._read_anew(block, method)  # one of the two is not there
            if not differs.isdigit() or len(differs) > _LONGEST_LENGTH:
                return self._read_anew(block, method)
            headers = last.headers.copy()
            headers["content-length"] = differs.decode()
            body = sized(int(differs))
        self._lessons = _LESSONS
        return Head(last.status, headers, body, last.keep_alive, last.idle_s, last.coding)

    def whole(self, data: bytes, method: str) -> Whole | None:
        """An answer that is all in ``data``, and :func:`is_plain`. ``None``, with nothing done: it is another one, or its
        head is not like the one before, and must be read."""
        if self._whole is None:
            return None
        known, before, start, after, stop, behind, kind, idle_s = self._whole
        end = data.find(after, start, stop)
        if end < 0 or not data.startswith(before) or method != known:
            return None
        size, body = data[start:end], data[end + behind :]
        if not size.isdigit() or int(size) != len(body):
            return None
        self._lessons = _LESSONS
        return kind, idle_s, body

    def _read_anew(self, block: bytes, method: str) -> Head:
        head = parse_head(block, method)
        if not self._lessons:
            return head
        self._lessons -= 1
        if len(block) > _LONGEST_HEAD_KEPT or _is_bodiless(head.status, method):
            return head
        if isinstance(head.body, Chunked):
            self._learn(head, method, block, b"")
        elif (line := _LENGTH_LINE.search(block)) is not None:
            self._learn(head, method, block[: line.start(1)], block[line.end(1) :])
        return head

    def _learn(self, head: Head, method: str, before: bytes, after: bytes) -> None:
        """With headers of its own: those of the answer are its reader's."""
        last = Head(head.status, head.headers.copy(), sized(0), head.keep_alive, head.idle_s, head.coding)
        whole = None
        if after and is_plain(head):
            start, kind = len(before), media_type(head.headers)
            stop = start + _LONGEST_LENGTH + len(after)
            whole = method, before, start, after, stop, len(after), kind, head.idle_s
        known = self._known = KnownHead(last, method, before, after, len(before) + len(after), whole)
        self._whole = whole
        if self._newest is not None:
            self._newest.known = known


def parse_head(block: bytes, method: str) -> Head:
    """``block``: status line to empty line, inclusive. ``method``: of the request. Raises :class:`Broken`."""
    lines = block.split(b"\r\n")
    start = lines[0]
    modern, status = _known_start(start) if len(start) <= _LONGEST_KEPT else _start(start)
    headers = _fields(lines)
    connection = headers.get("connection")
    return Head(
        status,
        headers,
        _framing(status, headers, method, modern),
        modern if connection is None else _keeps(connection, modern),
        _idle_s(headers["keep-alive"]) if "keep-alive" in headers else None,
        _coding(headers["content-encoding"]) if "content-encoding" in headers else None,
    )


def _fields(lines: list[bytes]) -> dict[str, str]:
    """The last of several wins, as compatible upstreams that repeat themselves mean it; not so for framing."""
    if len(lines) > MAX_UPSTREAM_HEADERS + 3:
        raise Broken(f"the answer has more than {MAX_UPSTREAM_HEADERS} headers")
    headers: dict[str, str] = {}
    for line in lines[1:-2]:
        name, value = _known_field(line) if len(line) <= _LONGEST_KEPT else _field(line)
        if name in headers:
            if name in _NEVER_TWICE:
                raise Broken(f"the answer has {name} twice")
            if name == "connection":
                value = f"{headers[name]}, {value}"
        headers[name] = value
    return headers


def _start(line: bytes) -> tuple[bool, int]:
    """Whether it is HTTP/1.1, and the status."""
    match = _START.fullmatch(line)
    if match is None:
        raise Broken(f"the answer's head is not valid HTTP: {line[:80]!r}")
    return match[1] == b"1", int(match[2])


def _field(line: bytes) -> tuple[str, str]:
    """Name, lower case, and value."""
    match = _FIELD.fullmatch(line)
    if match is None:
        raise Broken(f"the answer's head is not valid HTTP: {line[:80]!r}")
    name, value = match[1].decode().lower(), match[2].decode("utf-8", "surrogateescape")
    return name, value.strip(" \t")


_known_start = lru_cache(_KEPT_STARTS)(_start)
_known_field = lru_cache(_KEPT_LINES)(_field)


def _framing(status: int, headers: dict[str, str], method: str, modern: bool) -> Framing:
    coding, length = headers.get("transfer-encoding"), headers.get("content-length")
    if coding is not None:
        if length is not None:
            raise Broken("the answer has both content-length and transfer-encoding")
        if not modern or coding.lower() != "chunked":
            raise Broken(f"the answer has the transfer-encoding {coding[:80]!r}")
    elif length is not None and not (length.isascii() and length.isdigit() and len(length) <= _LONGEST_LENGTH):
        raise Broken(f"the answer has the content-length {length[:80]!r}")
    if _is_bodiless(status, method):
        return sized(0)
    if coding is not None:
        return Chunked()
    return UntilClose() if length is None else sized(int(length))


def _is_bodiless(status: int, method: str) -> bool:
    """Whatever its head says."""
    return status in (204, 304) or status < 200 or method == "HEAD"


def _keeps(connection: str, modern: bool) -> bool:
    options = {option.strip().lower() for option in connection.split(",")}
    return "close" not in options and (modern or "keep-alive" in options)


def _idle_s(keep_alive: str) -> float | None:
    match = _TIMEOUT.search(keep_alive)
    return None if match is None else float(match[1])


def _coding(value: str) -> str | None:
    coding = value.lower()
    return None if coding in ("", "identity") else coding

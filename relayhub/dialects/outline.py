"""A long request without the middle of its long strings: checked as strictly as the whole, in a tenth of the time.

Nearly all of a long request is base64, in which a parser looks at every byte. Here it is looked at in large steps, and
the parser sees the rest.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from typing import TypeAlias

import orjson
from msgspec.structs import replace

from relayhub.dialects.codec import Envelope
from relayhub.dialects.jsontext import Span, members, parse_object
from relayhub.types.errors import ClientError
from relayhub.types.json import JsonObject

Cuts: TypeAlias = tuple[Span, ...]
"""Parts of a body, in order, each in the middle of one string."""

LONG = 16 << 10
"""Bytes of a body from which on looking for cuts pays."""

KEPT = 1 << 10
"""Characters that at least are left of the beginning of a string which is cut."""

_STEP = 8 << 10
"""Every stretch of twice this length without a quote or a backslash is found."""

_PIECE = 128 << 10
"""Bytes that are checked at a time: few steps, and what they need stays in the processor's cache."""

_GLANCE = 64
"""Bytes by which text in most other alphabets shows itself."""

_ESCAPE = 5
"""Bytes behind a backslash that may make one character with it."""

_FILL = b"~"
"""What is left of what is cut. It can stand in a string but nowhere else in JSON, so that nothing but strings are cut."""

_TEXTS = frozenset({"input", "instructions", "prompt", "system"})
"""Strings at the top of a request that only the model reads."""


def read_request(body: bytes, read: Callable[[JsonObject], Envelope]) -> Envelope:
    """``read``: given the request, in which strings may be cut, but for those at the top that are not merely texts. Raises
    ``ClientError`` as :func:`parse_object` does, and what ``read`` raises."""
    if len(body) < LONG:
        return read(parse_object(body))
    request, cuts = parse_outline(body)
    return replace(read(request), cuts=cuts) if cuts else read(request)


def parse_outline(body: bytes) -> tuple[JsonObject, Cuts]:
    """As :func:`parse_object`, with the same errors; what is cut of the strings is told beside."""
    cuts = find_cuts(body)
    if cuts:
        try:
            request = parse_object(shortened(body, cuts))
        except ClientError:
            pass  # the whole says where it is wrong, or that only the cuts were
        else:
            if all(map(_is_whole, request.items())):
                return request, cuts
    return parse_object(body), ()


def _is_whole(member: tuple[str, object]) -> bool:
    name, value = member
    return len(name) < KEPT and (type(value) is not str or len(value) < KEPT or name in _TEXTS)


def find_cuts(body: bytes) -> Cuts:
    """Each is printable ASCII without quotes and backslashes, so that a parser is in the same state before and after it,
    provided that it stands in a string. That is not known here: see :data:`_FILL`."""
    cuts: list[Span] = []
    at = 0
    while (past := at + _STEP) <= len(body):
        if body.find(b'"', at, past) >= 0 or body.find(b"\\", at, past) >= 0 or not body[at : at + _GLANCE].isascii():
            at = past
            continue
        start = _beginning(body, at)
        end, at = _plain_until(body, start)
        if end - start > 2 * KEPT:
            cuts.append((start + _ESCAPE + KEPT, end))
    return tuple(cuts)


def _beginning(body: bytes, at: int) -> int:
    """Of a stretch without quotes and backslashes, a part of which is in front of ``at``."""
    left = max(0, at - _STEP)
    return max(body.rfind(b'"', left, at), body.rfind(b"\\", left, at), left - 1) + 1


def _plain_until(body: bytes, at: int) -> Span:
    """The end of the plain text that begins there, and where to look further: beyond what was looked at. Pieces grow with
    what was found, so that little is looked at in vain."""
    view = memoryview(body)
    size = 2 * _STEP
    while at < len(body):
        past = min(at + size, len(body))
        if not _is_plain(view[at:past]):
            end = _next_mark(body, at, past)
            return (end if end < past and _is_plain(view[at:end]) else at), end
        at, size = past, min(2 * size, _PIECE)
    return at, at


def _next_mark(body: bytes, at: int, past: int) -> int:
    """A quote or a backslash, or else ``past``."""
    quote = body.find(b'"', at, past)
    past = past if quote < 0 else quote
    slash = body.find(b"\\", at, past)
    return past if slash < 0 else slash


def _is_plain(piece: memoryview) -> bool:
    """Text that JSON is written with as it is may stand in JSON as it is. Writing is what can be done fastest: many bytes
    at a time are compared with all that would have to be escaped."""
    try:
        text = str(piece, "ascii")
    except UnicodeDecodeError:
        return False
    return len(orjson.dumps(text)) == len(piece) + 2


def shortened(body: bytes, cuts: Cuts) -> bytes:
    """Valid JSON, with the same members, if ``body`` is."""
    if not cuts:
        return body
    pieces: list[bytes] = []
    at = 0
    for start, end in cuts:
        pieces += (body[at:start], _FILL)
        at = end
    pieces.append(body[at:])
    return b"".join(pieces)


def members_around(body: bytes, cuts: Cuts) -> dict[str, Span]:
    """As :func:`members`, without looking at what is cut."""
    if not cuts:
        return members(body)
    ends: list[int] = []
    missing = [0]
    for start, end in cuts:
        ends.append(start - missing[-1] + len(_FILL))
        missing.append(missing[-1] + end - start - len(_FILL))

    def place(at: int) -> int:
        return at + missing[bisect_right(ends, at)]

    return {name: (place(start), place(end)) for name, (start, end) in members(shortened(body, cuts)).items()}

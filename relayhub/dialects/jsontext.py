"""JSON as text: strict parsing of request bodies, and byte-exact changes to single top-level members.

A body that is relayed is never re-serialised: key order, spacing, number spelling and unknown members stay as the
sender wrote them, which prompt caches and signatures rely on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import accumulate

import msgspec
import orjson

from relayhub.types import limits
from relayhub.types.errors import ClientError, invalid_request
from relayhub.types.json import Json, JsonObject

Span = tuple[int, int]

_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_STRING = rb'"[^"\\]*(?:\\.[^"\\]*)*"'
_KEY = re.compile(rb"[ \t\n\r]*(" + _STRING + rb")[ \t\n\r]*:[ \t\n\r]*", re.DOTALL)
_DELIMITER = re.compile(rb"[ \t\n\r]*[,}]")
_SCALAR = re.compile(_STRING + rb"|[^ \t\n\r,}\]]+", re.DOTALL)
_NESTING = re.compile(_STRING + rb"|[\[{]|[\]}]", re.DOTALL)

_LONG = 1 << 14
"""Bytes. A body that is shorter may be copied to learn something of it."""

_TOO_MANY = limits.MAX_JSON_DEPTH + 1
"""With fewer opening brackets, wherever they stand, nothing can be nested too deep. So they are counted first, up to that
many of each kind: that is cheaper than :func:`depth`, and nearly always enough, though those inside strings count too.

``count`` would look at every byte; ``replace`` and ``find`` search in larger steps. ``replace`` makes a copy for each kind,
so it is for short bodies; ``find`` takes a step in Python for each bracket, of which long bodies, mostly long strings, have
few."""

_DEPTH_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[{]}"))


def parse_object(body: bytes) -> JsonObject:
    """A request body that must be a JSON object, strictly: RFC 8259 (so no NaN, no byte order mark), valid UTF-8, no
    lone surrogates, no duplicate top-level key, nesting within ``MAX_JSON_DEPTH``. Raises ``ClientError``."""
    try:
        value: Json = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _refusal(body, error) from None
    if type(value) is not dict:
        raise invalid_request(f"The request body must be a JSON object, not {_kind(value)}.", code="invalid_json")
    size = len(body)
    if size < _LONG:  # not in a function: for most bodies the call would be a large part of what counting costs
        opened = 2 * size - len(body.replace(b"[", b"", _TOO_MANY)) - len(body.replace(b"{", b"", _TOO_MANY))
    else:
        opened = _opened_in_long(body)
    if opened >= _TOO_MANY and depth(body) > limits.MAX_JSON_DEPTH:
        raise _too_deep()
    if size < _LONG and orjson.dumps(value) == body:
        return value  # written in the plainest way: nothing that was read is missing in what was kept
    values = _MEMBERS.decode(body)
    if sum(map(len, values)) + sum(map(len, values.values())) + 4 * len(values) + 1 == len(body):
        return value  # compact, and so without a duplicate, by the same proof as in ``members``
    duplicate = _duplicate(body, values)
    if duplicate is not None:
        raise invalid_request(
            f"The request body has the key {duplicate!r} more than once.", code="duplicate_key", param=duplicate
        )
    return value


def _refusal(body: bytes, error: orjson.JSONDecodeError) -> ClientError:
    if not body.strip():
        return invalid_request("The request body is empty; send a JSON object.", code="invalid_json")
    if "depth" in error.msg:
        return _too_deep()
    try:
        body.decode()
    except UnicodeDecodeError as broken:
        where = f"byte {broken.start} is not valid UTF-8"
        return invalid_request(f"The request body is not valid JSON: {where}.", code="invalid_json")
    reason = error.msg.partition(": line ")[0]
    where = f"{reason} at line {error.lineno}, column {error.colno}"
    return invalid_request(f"The request body is not valid JSON: {where}.", code="invalid_json")


def _too_deep() -> ClientError:
    return invalid_request(
        f"The request body is nested more than {limits.MAX_JSON_DEPTH} levels deep.", code="json_too_deep"
    )


def _kind(value: Json) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case _:
            return "an array"


def _opened_in_long(body: bytes) -> int:
    """Opening brackets anywhere in a long body, counted up to ``_TOO_MANY``; see there."""
    opened = 0
    for bracket in (b"[", b"{"):
        at = body.find(bracket)
        while at >= 0 and opened < _TOO_MANY:
            opened += 1
            at = body.find(bracket, at + 1)
    return opened


def depth(body: bytes) -> int:
    """Nesting of valid JSON text: 0 for a scalar, 1 for a flat object. Linear, and without a Python step per byte."""
    # Backslashes occur only inside strings; pairs go first, so that what is left before a quote does escape it.
    unescaped = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    outside = b"".join(unescaped.split(b'"')[::2])
    steps = memoryview(outside.translate(_DEPTH_STEPS, _NOT_BRACKETS)).cast("b")
    return max(accumulate(steps), default=0)


def _duplicate(body: bytes, values: Mapping[str, msgspec.Raw]) -> str | None:
    seen: set[str] = set()
    for name, _, _ in _walk(body, values):
        if name in seen:
            return name
        seen.add(name)
    return None


def members(body: bytes) -> dict[str, Span]:
    """Where the values of a JSON object's top-level members stand in ``body`` (start, end); of duplicates the last one,
    which is the one that parsers take. Raises ``ValueError`` if ``body`` is not a JSON object."""
    try:
        values = _MEMBERS.decode(body)
    except (msgspec.DecodeError, RecursionError):
        raise ValueError("not a JSON object") from None
    # Where a compact body would have them. The length proves that it is one: whitespace, a duplicate, an escaped or a
    # non-ASCII key would each make the body longer, and nothing could make it shorter.
    spans = {}
    at = 1
    for name, raw in values.items():
        start = at + len(name) + 3
        at = start + len(raw) + 1
        spans[name] = (start, at - 1)
    if at == len(body):
        return spans
    return {name: (start, end) for name, start, end in _walk(body, values)}


def _walk(body: bytes, values: Mapping[str, msgspec.Raw]) -> Iterator[tuple[str, int, int]]:
    """Every top-level member in order, duplicates included, with the span of its value."""
    at = body.index(b"{") + 1
    while match := _KEY.match(body, at):
        name: str = orjson.loads(match[1])
        start = match.end()
        end = _end_of_value(body, start, bytes(values[name]))
        yield name, start, end
        delimiter = _DELIMITER.match(body, end)
        assert delimiter is not None, "the body was parsed before"
        at = delimiter.end()


def _end_of_value(body: bytes, start: int, expected: bytes) -> int:
    """The value is almost always the one that the parser has already found; under a duplicate key it may be another."""
    end = start + len(expected)
    if body.startswith(expected, start) and _DELIMITER.match(body, end):
        return end
    if body[start] not in b"[{":
        scalar = _SCALAR.match(body, start)
        assert scalar is not None, "the body was parsed before"
        return scalar.end()
    level = 0
    for token in _NESTING.finditer(body, start):
        if token[0] in (b"[", b"{"):
            level += 1
        elif token[0] in (b"]", b"}"):
            level -= 1
            if level == 0:
                return token.end()
    raise AssertionError("the body was parsed before")


def splice(body: bytes, values: Mapping[str, bytes]) -> bytes:
    """``body`` with these top-level members set to these JSON texts: replaced where they stand, else inserted right
    after the opening brace. Every other byte stays. Raises ``ValueError`` if ``body`` is not a JSON object."""
    return set_members(body, members(body), values)


def set_members(body: bytes, spans: Mapping[str, Span], values: Mapping[str, bytes]) -> bytes:
    """:func:`splice` for a caller who already has the spans."""
    pieces = []
    at = 0
    missing = [orjson.dumps(name) + b":" + value for name, value in values.items() if name not in spans]
    if missing:
        at = body.index(b"{") + 1
        pieces = [body[:at], b",".join(missing), b"," if spans else b""]
    for (start, end), value in sorted((spans[name], value) for name, value in values.items() if name in spans):
        pieces += (body[at:start], value)
        at = end
    pieces.append(body[at:])
    return b"".join(pieces)

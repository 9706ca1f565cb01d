"""Strict parsing, member spans and byte-exact splicing, held against the standard library."""

from __future__ import annotations

import json
import math
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayhub.dialects.jsontext import depth, members, parse_object, splice
from relayhub.types import limits
from relayhub.types.errors import ClientError, ErrorKind

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
awkward = st.sampled_from(['"', "\\", '\\"', "{", "}}", "[", ",", ":", '","model":"x"', "\n", "é", "模型", "😀", ""])
scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    scalars | texts | awkward,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts | awkward, inner, max_size=4),
    max_leaves=12,
)
space = st.sampled_from(["", "", " ", "\n", "\t \r\n"])


@st.composite
def bodies(draw: st.DrawFn, *, unique: bool = True) -> bytes:
    """JSON objects in many spellings: any whitespace, escaped or plain keys, perhaps duplicates."""
    pairs = draw(
        st.lists(st.tuples(texts | awkward, values), max_size=6, unique_by=(lambda p: p[0]) if unique else None)
    )
    members = []
    for name, value in pairs:
        key = json.dumps(name, ensure_ascii=draw(st.booleans()))
        if name[:1] == "m" and draw(st.booleans()):
            key = key.replace("m", "\\u006d", 1)
        separators = draw(st.sampled_from([(",", ":"), (", ", ": ")]))
        text = json.dumps(value, ensure_ascii=draw(st.booleans()), separators=separators)
        members.append(f"{draw(space)}{key}{draw(space)}:{draw(space)}{text}{draw(space)}")
    return f"{draw(space)}{{{','.join(members) or draw(space)}}}{draw(space)}".encode()


def pairs_of(body: bytes) -> list[tuple[str, Any]]:
    """The top level with its duplicates, as the standard library reads it."""

    def hook(pairs: list[tuple[str, Any]]) -> Any:
        return Pairs(pairs)

    class Pairs(list[tuple[str, Any]]):
        pass

    def plain(value: Any) -> Any:
        if isinstance(value, Pairs):
            return {key: plain(item) for key, item in value}
        return [plain(item) for item in value] if isinstance(value, list) else value

    found = json.loads(body, object_pairs_hook=hook)
    return [(key, plain(value)) for key, value in found]


@given(bodies())
def test_a_good_object_parses_as_in_the_standard_library(body: bytes) -> None:
    assert parse_object(body) == json.loads(body)


@given(bodies(unique=False))
def test_a_key_twice_is_refused_exactly_where_there_is_one(body: bytes) -> None:
    names = [name for name, _ in pairs_of(body)]
    if len(set(names)) == len(names):
        parse_object(body)
        return
    with pytest.raises(ClientError) as caught:
        parse_object(body)
    assert caught.value.code == "duplicate_key"
    assert caught.value.param is not None
    assert names.count(caught.value.param) > 1


@given(bodies(unique=False))
def test_spans_are_the_values_and_the_last_of_duplicates(body: bytes) -> None:
    spans = members(body)
    assert {name: json.loads(body[start:end]) for name, (start, end) in spans.items()} == dict(pairs_of(body))
    assert all(body[start:end].strip() == body[start:end] for start, end in spans.values())


@given(bodies(), st.dictionaries(st.sampled_from(["model", "m", "", "\\", '"', "stream"]) | texts, values, max_size=3))
def test_splicing_sets_members_and_leaves_every_other_byte(body: bytes, changes: dict[str, Any]) -> None:
    before = members(body)
    texts = {name: json.dumps(value).encode() for name, value in changes.items()}
    after = splice(body, texts)
    assert json.loads(after) == {**json.loads(body), **changes}
    # Put the old values back, and take the inserted members out: the original, byte for byte.
    back = splice(after, {name: body[slice(*before[name])] for name in changes if name in before})
    inserted = b",".join(orjson.dumps(name) + b":" + texts[name] for name in texts if name not in before)
    if inserted:
        opening = body.index(b"{") + 1
        inserted += b"," if before else b""
        assert back[opening:].startswith(inserted)
        back = back[:opening] + back[opening + len(inserted) :]
    assert back == body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" \n",
        b"{",
        b'{"a":1,}',
        b"{'a':1}",
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b'{"a":1e400}',
        b'{"a":01}',
        b'{"a":1}{"b":2}',
        b'{"a":"\x00"}',
        b'{"a":"\xff"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\\ud800"}',
        b'{"\\ud800":1}',
        b'\xef\xbb\xbf{"a":1}',
        '{"a":1}'.encode("utf-16"),
        '{"a":1}'.encode("utf-32-le"),
        b"[]",
        b"null",
        b"3",
        b'"text"',
        b"true",
    ],
)
def test_what_is_no_strict_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(ClientError) as caught:
        parse_object(body)
    assert (caught.value.kind, caught.value.code) == (ErrorKind.INVALID_REQUEST, "invalid_json")


@pytest.mark.parametrize(
    ("body", "place"),
    [(b'{"a":1,\n "b":tru}', "line 2, column 6"), (b'{"abc":"\xff"}', "byte 8"), (b"[1]", "an array")],
)
def test_the_message_says_where_or_what(body: bytes, place: str) -> None:
    with pytest.raises(ClientError, match=place):
        parse_object(body)


@given(st.binary(max_size=40) | bodies().flatmap(lambda body: st.integers(0, len(body)).map(lambda n: body[:n])))
def test_garbage_never_raises_anything_else(body: bytes) -> None:
    try:
        value = parse_object(body)
    except ClientError:
        return
    assert value == json.loads(body)


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_nesting_is_limited_exactly(opening: str) -> None:
    closing = "]" if opening == "[" else "}"
    inner = limits.MAX_JSON_DEPTH - 1

    def nested(levels: int) -> bytes:
        return f'{{"x":{opening * levels}1{closing * levels}}}'.encode()

    parse_object(nested(inner))
    for levels in (inner + 1, 500, 2_000, 200_000):
        with pytest.raises(ClientError) as caught:
            parse_object(nested(levels))
        assert caught.value.code == "json_too_deep"


def test_brackets_in_strings_do_not_nest() -> None:
    parse_object(json.dumps({"a": '[{"\\' * 1000, "b" + "[" * 500: "\\"}).encode())


@given(values)
def test_depth_is_the_depth(value: Any) -> None:
    def obvious(value: Any) -> int:
        if isinstance(value, dict | list):
            inner = value.values() if isinstance(value, dict) else value
            return 1 + max((obvious(item) for item in inner), default=0)
        return 0

    assert depth(json.dumps(value).encode()) == obvious(value)


def test_only_an_object_has_members() -> None:
    for body in (b"", b"[1]", b"x", b"[" * 5000, b'{"a":1'):
        with pytest.raises(ValueError, match="not a JSON object"):
            members(body)


def test_numbers_keep_their_spelling_and_big_values_their_bytes() -> None:
    body = b'{ "seed" : 1.0e+02, "n":100000000000000000000000, "model":"a", "text":"' + b"x" * 1_000_000 + b'" }'
    assert splice(body, {"model": b'"b"'}) == body.replace(b'"a"', b'"b"')
    assert math.isclose(json.loads(splice(body, {"top_p": b"1"}))["seed"], 100)

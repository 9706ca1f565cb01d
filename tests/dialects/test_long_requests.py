"""Long strings are cut before a long request is parsed: nobody may see a difference but in how long it takes."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from relayhub.dialects.anthropic_messages.dialect import AnthropicMessages
from relayhub.dialects.anthropic_messages.envelope import read_envelope as read_messages
from relayhub.dialects.codec import Envelope
from relayhub.dialects.gemini_generate.dialect import GeminiGenerate
from relayhub.dialects.gemini_generate.envelope import read_envelope as read_gemini
from relayhub.dialects.jsontext import members, parse_object
from relayhub.dialects.openai_chat.dialect import OpenAIChat
from relayhub.dialects.openai_chat.envelope import read_envelope as read_chat
from relayhub.dialects.openai_responses.dialect import OpenAIResponses
from relayhub.dialects.openai_responses.envelope import read_envelope as read_responses
from relayhub.dialects.outline import KEPT, LONG, find_cuts, members_around, parse_outline, shortened
from relayhub.types.call import Dialect
from relayhub.types.errors import ClientError
from relayhub.types.json import Json

CLAUDE = Dialect.ANTHROPIC_MESSAGES.value
CHAT, MESSAGES, RESPONSES, GEMINI = OpenAIChat(), AnthropicMessages(), OpenAIResponses(), GeminiGenerate()
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 400).decode()
FRAGMENTS = [
    *(b'"', b"\\", b'\\"', b"\\n", b"\\u00e9", b"\\ud83d", b"\\ude00", b"\\u12", b"\x01", b"\x7f", b"\n", b" "),
    *("é".encode(), "😀".encode(), b"\xff", b"\xc3", b"{", b"}", b"[", b"]", b",", b":", b"1", b"true", b"~", b"/"),
    *(b'"model":"m"', b'","x":"', b'"x":', b'{"model":"m","messages":[{"role":"user","content":"', b'"}]}', b'"}'),
]
STRETCHES = [fill * 30_000 for fill in (b"x", b"Ab+/", b" ", b"1", b"~", b"\\n", b"[", "é".encode())]
pieces = (
    st.sampled_from(FRAGMENTS)
    | st.sampled_from(STRETCHES)
    | st.builds(bytes.__mul__, st.just(b"y"), st.integers(0, 40_000))
)
texts = st.lists(pieces, max_size=8).map(b"".join)


def outcome(parse: Callable[[bytes], Any], body: bytes) -> tuple[Any, str]:
    try:
        return parse(body), ""
    except ClientError as error:
        return None, f"{error.code} {error.param} {error}"


def agrees(cut: Json, whole: Json) -> bool:
    """The same, but that long strings, as keys too, may have lost what is behind their beginning."""
    match cut, whole:
        case str(), str():
            return cut == whole or (len(whole) > len(cut) > KEPT and cut[:KEPT] == whole[:KEPT])
        case list(), list():
            return len(cut) == len(whole) and all(map(agrees, cut, whole))
        case dict(), dict():
            return len(cut) <= len(whole) and all(
                any(agrees(key, other) and agrees(value, whole[other]) for other in whole) for key, value in cut.items()
            )
    return cut == whole and type(cut) is type(whole)


def check(body: bytes) -> None:
    (found, error), (whole, expected) = outcome(parse_outline, body), outcome(parse_object, body)
    assert error == expected
    if not error:
        request, cuts = found
        assert agrees(request, whole)
        assert members_around(body, cuts) == members(body)


@given(texts, texts, st.booleans())
def test_what_is_refused_and_what_is_taken_is_the_same(before: bytes, after: bytes, within: bool) -> None:
    opening = b'{"a":[{"b":"' if within else b""
    closing = b'"}],"model":"m"}' if within else b""
    check(opening + before + b"z" * 20_000 + after + closing)


@given(st.sampled_from(FRAGMENTS), st.integers(0, 200_000), st.integers(0, 200_000))
def test_one_odd_place_in_a_long_string_is_seen_wherever_it_is(odd: bytes, before: int, after: int) -> None:
    check(b'{"model":"m","a":{"b":"' + b"x" * before + odd + b"x" * after + b'"}}')


@given(st.binary(min_size=1, max_size=3), st.integers(0, 100_000))
def test_any_bytes_in_a_long_string_count(odd: bytes, at: int) -> None:
    check(b'{"a":["' + b"x" * at + odd + b"x" * (100_000 - at) + b'"]}')


@pytest.mark.parametrize("byte", range(256))
def test_every_byte_is_judged_as_by_the_parser(byte: int) -> None:
    check(b'{"a":["' + b"x" * 50_000 + bytes([byte]) + b"x" * 50_000 + b'"]}')


@pytest.mark.parametrize("stretch", [b" " * 100_000, b"1" * 100_000, b"~" * 100_000, b"0," * 50_000 + b"0"])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'{"a":', b"}"),
        (b'{"a":[1,', b"1]}"),
        (b"{", b'"a":1}'),
        (b"", b""),
        (b'{"a":[1,', b',"b"]}'),
        (b'{"a":[11,', b',"b"]}'),
    ],
)
def test_only_strings_are_cut(stretch: bytes, before: bytes, after: bytes) -> None:
    check(before + stretch + after)


def long_text(before: str = "") -> str:
    return before + PNG


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({long_text("a"): 1, long_text("b"): 2}),
        '{"' + "x" * 50_000 + '1":1,"' + "x" * 50_000 + '2":2}',
        '{"' + "x" * 50_000 + '":1,"' + "x" * 50_000 + '":2}',
        '{"\\"' + "x" * 50_000 + '":1,"\\u0022' + "x" * 50_000 + '":2}',
        '{"model":"m","text":"' + "x" * 50_000 + '","mod\\u0065l":"n"}',
        '{"a":' + "[" * 200 + '"' + "x" * 50_000 + '"' + "]" * 200 + "}",
        '{"a":"' + "[" * 50_000 + '"}',
        "[" + '"' + "x" * 50_000 + '"]',
        '"' + "x" * 50_000 + '"',
        '{"a":"' + "x" * 50_000,
        '{"a":"' + "x" * 50_000 + '"}}',
    ],
    ids=range(11),
)
def test_long_keys_duplicates_and_nesting(body: str) -> None:
    check(body.encode())


def test_most_of_a_long_string_is_never_parsed() -> None:
    body = chat([image(f"data:image/png;base64,{PNG}")])
    request, cuts = parse_outline(body)
    assert len(shortened(body, cuts)) < 4 * KEPT
    assert request["model"] == "m"
    assert find_cuts(body) == cuts


def test_several_long_strings_are_cut_each() -> None:
    body = chat([image(f"data:image/png;base64,{PNG}") for _ in range(3)])
    _, cuts = parse_outline(body)
    assert len(cuts) == 3
    assert members_around(body, cuts) == members(body)


def test_names_and_users_are_never_cut() -> None:
    name = "n" * 50_000
    request, cuts = parse_outline(json.dumps({"model": name, "messages": [{}], "input": PNG}).encode())
    assert request["model"] == name
    assert cuts == ()


def image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def chat(content: Json, **more: Json) -> bytes:
    return json.dumps({"messages": [{"role": "user", "content": content}], "model": "m", **more}).encode()


MESSAGE = {"role": "user", "content": [{"type": "text", "text": "what is this?"}, {"type": "text", "text": PNG}]}
ANTHROPIC = {"model": "m", "max_tokens": 9, "system": PNG, "messages": [MESSAGE], "metadata": {"user_id": "u" * 50_000}}
INLINE = {"contents": [{"parts": [{"inlineData": {"mimeType": "image/png", "data": PNG}}]}], "model": "models/m"}


def read_gemini_m(request: dict[str, Json]) -> Envelope:
    return read_gemini(request, "m", None)


@pytest.mark.parametrize(
    ("envelope", "body", "read"),
    [
        (CHAT.envelope, chat([image(f"data:image/png;base64,{PNG}")], user="u", n=2, stream=True), read_chat),
        (CHAT.envelope, chat([image(PNG)]), read_chat),
        (CHAT.envelope, chat(PNG, user="u" * 50_000), read_chat),
        (CHAT.envelope, chat("short"), read_chat),
        (MESSAGES.envelope, json.dumps(ANTHROPIC).encode(), read_messages),
        (RESPONSES.envelope, json.dumps({"model": "m", "input": PNG, "instructions": PNG}).encode(), read_responses),
        (lambda body: GEMINI.envelope(body, model="m"), json.dumps(INLINE).encode(), read_gemini_m),
    ],
)
def test_every_dialect_reads_the_same_of_it(
    envelope: Callable[[bytes], Envelope], body: bytes, read: Callable[[dict[str, Json]], Envelope]
) -> None:
    found = envelope(body)
    assert replace(found, cuts=()) == read(parse_object(body))
    assert not found.cuts or len(body) > LONG


@pytest.mark.parametrize("stream", [False, True])
def test_a_long_chat_request_is_renamed_where_its_model_stands(stream: bool) -> None:
    body = chat([image(f"data:image/png;base64,{PNG}")], stream=stream, seed=1.50)
    envelope = CHAT.envelope(body)
    assert envelope.cuts
    sent = CHAT.native_request(body, model="upstream", envelope=envelope)
    options = {"stream_options": {"include_usage": True}} if stream else {}
    assert json.loads(sent) == {**json.loads(body), "model": "upstream", **options}
    assert sent.endswith(b"1.5}")


@pytest.mark.parametrize("codec", [MESSAGES, RESPONSES], ids=["messages", "responses"])
def test_a_long_request_of_another_dialect_is_renamed(codec: AnthropicMessages | OpenAIResponses) -> None:
    body = json.dumps(ANTHROPIC | {"metadata": {}, "input": [MESSAGE]}).encode()
    envelope = codec.envelope(body)
    assert envelope.cuts
    assert codec.native_request(body, model="up", envelope=envelope) == body.replace(b'"model": "m"', b'"model": "up"')


def test_a_long_gemini_request_is_renamed() -> None:
    body = json.dumps(INLINE).encode()
    envelope = GEMINI.envelope(body, model="m")
    assert envelope.cuts
    sent = GEMINI.native_request(body, model="up", envelope=envelope)
    assert sent == body.replace(b"models/m", b"models/up")


def test_long_bare_base64_is_mended_and_the_model_renamed() -> None:
    body = chat([image(f"data:image/png;base64,{PNG}"), image(PNG)])
    envelope = CHAT.envelope(body)
    assert not envelope.as_is
    sent = CHAT.native_request(body, model="upstream", envelope=envelope)
    assert json.loads(sent) == json.loads(
        chat([image(f"data:image/png;base64,{PNG}")] * 2).replace(b'"model": "m"', b'"model": "upstream"')
    )


def test_a_foreign_signature_behind_long_strings_is_found() -> None:
    signature = f"rh1:{CLAUDE}:" + "c2ln" * 9000
    marked = [{"type": "reasoning.text", "text": "a", "signature": signature}]
    body = {"model": "m", "messages": [{"role": "assistant", "content": PNG, "reasoning_details": marked}]}
    whole = json.dumps(body).encode()
    sent = CHAT.native_request(whole, model="m", envelope=CHAT.envelope(whole))
    assert json.loads(sent)["messages"] == [{"role": "assistant", "content": PNG}]

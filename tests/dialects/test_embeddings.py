"""Embeddings: the order of vectors, both number forms, and the client's choice between them."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayhub.dialects.openai_embeddings import EmbeddingsDialect, OpenAIEmbeddings
from relayhub.types.embedding import EmbeddingReply
from relayhub.types.errors import ClientError, ErrorKind, UpstreamError
from relayhub.types.http import HttpReply
from relayhub.types.usage import Usage

CODEC: EmbeddingsDialect = OpenAIEmbeddings()
VECTOR = "AAAAPwAAgL4="
"""[0.5, -0.25]"""

ASKS_BASE64 = b'{"model":"m","input":"x","encoding_format":"base64"}'
ASKS_FLOAT = b'{"model":"m","input":"x","encoding_format": "float"}'
ASKS_NOTHING = b'{"model":"m","input":"x"}'


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "m", "input": "x", **fields}).encode()


def reply(*vectors: Any, **fields: Any) -> bytes:
    data = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    usage = {"prompt_tokens": 3, "total_tokens": 3}
    return json.dumps({"object": "list", "data": data, "model": "up", "usage": usage, **fields}).encode()


# --- requests ---------------------------------------------------------------------------------------------------------

INPUTS = st.one_of(
    st.text(max_size=5),
    st.lists(st.text(max_size=5), min_size=1, max_size=3),
    st.lists(st.integers(0, 10**6), min_size=1, max_size=3),
    st.lists(st.lists(st.integers(0, 10**6), min_size=1, max_size=3), min_size=1, max_size=3),
)


@given(
    st.fixed_dictionaries(
        {"model": st.just("m"), "input": INPUTS},
        optional={
            "encoding_format": st.sampled_from([None, "float", "base64"]),
            "dimensions": st.none() | st.integers(1, 4096),
            "user": st.none() | st.text(max_size=3),
            "input_type": st.just("query"),
        },
    )
)
def test_a_request_comes_back_equal(request: dict[str, Any]) -> None:
    sent = json.dumps(request).encode()
    decoded = CODEC.decode_request(sent)
    assert json.loads(CODEC.encode_request(decoded, model="m").body) == request


def test_inputs_are_one_per_vector() -> None:
    assert CODEC.decode_request(body(input="a")).inputs == ("a",)
    assert CODEC.decode_request(body(input=["a", "b"])).inputs == ("a", "b")
    assert CODEC.decode_request(body(input=[1, 2])).inputs == ((1, 2),)
    assert CODEC.decode_request(body(input=[[1], [2, 3]])).inputs == ((1,), (2, 3))


@pytest.mark.parametrize(
    ("param", "fields"),
    [
        ("model", {"model": None}),
        ("model", {"model": 5}),
        ("input", {"input": None}),
        ("input", {"input": 5}),
        ("input", {"input": {}}),
        ("input", {"input": []}),
        ("input", {"input": ["x"] * 2049}),
        ("input", {"input": [1, "x"]}),
        ("input", {"input": [1, True]}),
        ("input", {"input": [-1]}),
        ("input[1]", {"input": ["x", 1]}),
        ("input[0]", {"input": [[]]}),
        ("input[1]", {"input": [[1], "x"]}),
        ("input[1]", {"input": [[1], [2.5]]}),
        ("encoding_format", {"encoding_format": "int8"}),
        ("encoding_format", {"encoding_format": 5}),
        ("dimensions", {"dimensions": 0}),
        ("dimensions", {"dimensions": 2.0}),
        ("user", {"user": 7}),
    ],
)
def test_what_is_wrong_is_named(param: str, fields: dict[str, Any]) -> None:
    for read in (CODEC.envelope, CODEC.decode_request):
        with pytest.raises(ClientError) as caught:
            read(body(**fields))
        assert (caught.value.kind, caught.value.param) == (ErrorKind.INVALID_REQUEST, param)


def test_the_envelope() -> None:
    envelope = CODEC.envelope(body(user="u", input=["x"] * 2048))
    assert (envelope.model, envelope.stream, envelope.choices, envelope.user) == ("m", False, 1, "u")


def test_only_the_name_of_a_relayed_request_changes() -> None:
    sent = b'{ "input":["x", "\\u00e9"], "model" : "m" }'
    assert CODEC.native_request(sent, model="m") is sent
    assert CODEC.native_request(sent, model="up") == sent.replace(b'"m"', b'"up"')


# --- replies --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vector", [[0.5, -0.25], VECTOR])
@pytest.mark.parametrize(
    ("asked", "shown"), [(ASKS_BASE64, VECTOR), (ASKS_FLOAT, [0.5, -0.25]), (ASKS_NOTHING, [0.5, -0.25])]
)
def test_the_client_gets_the_form_it_asked_for(vector: Any, asked: bytes, shown: Any) -> None:
    sent = reply(vector, vector, extra={"kept": 1.5})
    passed, usage = CODEC.native_reply(sent, asked=asked, rename_to=None)
    expected = json.loads(sent)
    for item in expected["data"]:
        item["embedding"] = shown
    assert json.loads(passed) == expected
    assert usage == Usage(3, 0)
    if vector == shown:
        assert passed is sent
    decoded = CODEC.decode_reply(sent)
    assert decoded == EmbeddingReply("up", ((0.5, -0.25),) * 2, Usage(3, 0))
    translated = json.loads(CODEC.encode_reply(decoded, asked=asked, model="up"))
    assert {key: translated[key] for key in ("object", "data", "model", "usage")} == {
        key: expected[key] for key in ("object", "data", "model", "usage")
    }


def test_only_the_name_of_a_relayed_reply_changes() -> None:
    sent = b'{ "model":"up", "data":[{"index":0,"embedding":[5e-1, -0.250]}] }'
    passed, usage = CODEC.native_reply(sent, asked=ASKS_FLOAT, rename_to="public")
    assert (passed, usage) == (sent.replace(b'"up"', b'"public"'), None)


def test_vectors_come_in_the_order_of_the_inputs() -> None:
    data = [{"index": index, "embedding": [float(index)]} for index in (2, 0, 1)]
    decoded = CODEC.decode_reply(json.dumps({"data": data}).encode())
    assert decoded.vectors == ((0.0,), (1.0,), (2.0,))
    unnumbered = [{"embedding": [float(index)]} for index in (2, 0, 1)]
    assert CODEC.decode_reply(json.dumps({"data": unnumbered}).encode()).vectors == ((2.0,), (0.0,), (1.0,))


@pytest.mark.parametrize("asked", [ASKS_BASE64, ASKS_FLOAT])
def test_forms_may_be_mixed_and_items_keep_their_places(asked: bytes) -> None:
    data = [{"index": 1, "embedding": [0.5, -0.25]}, {"index": 0, "embedding": VECTOR}]
    passed, _ = CODEC.native_reply(json.dumps({"data": data}).encode(), asked=asked, rename_to=None)
    shown = VECTOR if asked is ASKS_BASE64 else [0.5, -0.25]
    assert json.loads(passed)["data"] == [{"index": index, "embedding": shown} for index in (1, 0)]


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=20))
def test_packing_is_little_endian_float32(vector: list[float]) -> None:
    sent = reply(vector)
    passed, _ = CODEC.native_reply(sent, asked=ASKS_BASE64, rename_to=None)
    text = json.loads(passed)["data"][0]["embedding"]
    assert base64.b64decode(text, validate=True) == struct.pack(f"<{len(vector)}f", *vector)
    back, _ = CODEC.native_reply(passed, asked=ASKS_FLOAT, rename_to=None)
    assert json.loads(back)["data"][0]["embedding"] == vector


BAD: dict[str, bytes] = {
    "empty": b"",
    "not json": b"{",
    "an array": b"[]",
    "no data": b"{}",
    "empty data": b'{"data":[]}',
    "no vector": b'{"data":[{"index":0}]}',
    "not numbers": reply(["a"]),
    "booleans": reply([True]),
    "an object": reply({}),
    "bad base64": reply("%%%"),
    "half a float": reply("AAAA"),
    "beyond float32": reply([1e300]),
    "deep": b'{"data":[' + b"[" * 5000 + b"]" * 5000 + b"]}",
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_list_of_vectors_is_an_upstream_error(name: str) -> None:
    asked = ASKS_FLOAT if "base64" in name or "half" in name else ASKS_BASE64
    with pytest.raises(UpstreamError) as caught:
        CODEC.native_reply(BAD[name], asked=asked, rename_to="x")
    assert caught.value.code == "upstream_invalid_response"
    if name != "beyond float32":
        with pytest.raises(UpstreamError):
            CODEC.decode_reply(BAD[name])


def test_a_gap_in_the_numbers_is_an_upstream_error() -> None:
    for numbers in ((0, 2), (1, 1)):
        data = [{"index": number, "embedding": [1.0]} for number in numbers]
        with pytest.raises(UpstreamError):
            CODEC.decode_reply(json.dumps({"data": data}).encode())


def test_an_error_in_a_200_and_an_error_status_are_the_chat_dialects() -> None:
    sent = b'{"error":{"message":"x","code":"rate_limit_exceeded"}}'
    with pytest.raises(UpstreamError) as caught:
        CODEC.native_reply(sent, asked=ASKS_FLOAT, rename_to=None)
    assert caught.value.kind is ErrorKind.UPSTREAM_RATE_LIMITED
    assert CODEC.decode_error(HttpReply(503, {}, sent)).kind is ErrorKind.UPSTREAM_OVERLOADED

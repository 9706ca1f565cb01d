"""Gemini's embeddings: one and many, both sides, and in translation."""

from __future__ import annotations

import json
from typing import Any

import pytest

from relayhub.dialects.gemini_embeddings import GeminiEmbeddings
from relayhub.dialects.openai_embeddings import EmbeddingsDialect, OpenAIEmbeddings
from relayhub.types.embedding import EmbeddingReply, EmbeddingRequest
from relayhub.types.errors import ClientError, UpstreamError
from relayhub.types.usage import Usage

CODEC: EmbeddingsDialect = GeminiEmbeddings()
ONE = {"model": "models/m", "content": {"parts": [{"text": "a"}]}}
MANY = {"requests": [ONE, {"model": "models/m", "content": {"parts": [{"text": "b"}]}}]}
OPTIONS = {"taskType": "RETRIEVAL_QUERY", "outputDimensionality": 8}


def raw(value: Any) -> bytes:
    return json.dumps(value).encode()


def again(value: Any) -> Any:
    return json.loads(CODEC.encode_request(CODEC.decode_request(raw(value)), model="m").body)


@pytest.mark.parametrize(
    "value", [ONE, {**ONE, **OPTIONS}, {**ONE, "title": "t"}, MANY, {"requests": [{**ONE, **OPTIONS}]}]
)
def test_requests_come_back_equal(value: Any) -> None:
    if value is ONE:
        value = {**value, "taskType": "SEMANTIC_SIMILARITY"}
    assert again(value) == value


def test_both_spellings_and_several_parts_are_read() -> None:
    body = raw({"content": {"parts": [{"text": "a"}, {"text": "b"}]}, "output_dimensionality": 3, "task_type": "X"})
    request = CODEC.decode_request(body)
    assert (request.inputs, request.dimensions, request.extras["taskType"]) == (("a\nb",), 3, "X")
    assert CODEC.envelope(body, model="models/m").model == "m"


def test_openai_clients_are_always_sent_as_a_batch() -> None:
    request = OpenAIEmbeddings().decode_request(
        raw({"model": "m", "input": "a", "dimensions": 4, "user": "u", "encoding_format": "base64"})
    )
    sent = CODEC.encode_request(request, model="up")
    entry = {"model": "models/up", "content": {"parts": [{"text": "a"}]}, "outputDimensionality": 4}
    assert (json.loads(sent.body), sent.dropped) == ({"requests": [entry]}, ("user",))


def test_tokens_are_refused() -> None:
    with pytest.raises(ClientError) as caught:
        CODEC.encode_request(EmbeddingRequest("m", ((1, 2),)), model="m")
    assert caught.value.param == "input[0]"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "content"),
        ({"requests": []}, "requests"),
        ({"requests": [{}]}, "requests[0].content"),
        ({"requests": [1]}, "requests[0]"),
        ({"content": {"parts": []}}, "content.parts"),
        ({"content": {"parts": [{"inlineData": {}}]}}, "content.parts[0]"),
        ({**ONE, "outputDimensionality": 0}, "outputDimensionality"),
        ({"requests": [ONE, {**ONE, "taskType": "X"}]}, "requests"),
    ],
)
def test_errors_name_the_place(body: Any, param: str) -> None:
    with pytest.raises(ClientError) as caught:
        CODEC.decode_request(raw(body))
    assert caught.value.param == param


def test_inputs_that_only_the_upstream_understands_may_pass_untouched() -> None:
    assert CODEC.envelope(raw({"content": {"parts": [{"inlineData": {}}]}}), model="m").model == "m"


def test_answers_have_one_embedding_per_entry_in_order() -> None:
    reply = EmbeddingReply("m", ((0.5, 1.0), (2.0, -1.0)), Usage(3, 0))
    shown = json.loads(CODEC.encode_reply(reply, asked=raw(MANY), model="m"))
    assert shown["embeddings"] == [{"values": [0.5, 1.0]}, {"values": [2.0, -1.0]}]
    assert CODEC.decode_reply(raw(shown)).vectors == reply.vectors
    assert CODEC.decode_reply(raw(shown)).usage == Usage(3, 0)
    one = EmbeddingReply("m", ((0.5,),))
    assert json.loads(CODEC.encode_reply(one, asked=raw(ONE), model="m")) == {"embedding": {"values": [0.5]}}


def test_answers_pass_untouched() -> None:
    body = b'{ "embeddings":[{"values":[0.10]}] }'
    assert CODEC.native_reply(body, asked=raw(MANY), rename_to="public") == (body, None)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'{"embeddings":[]}',
        b'{"embeddings":[{}]}',
        b'{"error":{"code":500}}',
        b'{"embedding":{"values":["x"]}}',
    ],
)
def test_what_is_no_embedding_is_an_error(body: bytes) -> None:
    with pytest.raises(UpstreamError):
        CODEC.decode_reply(body)


def test_only_the_models_name_is_replaced() -> None:
    body = b'{ "model": "models/m", "content":{"parts":[{"text":"\\u0041"}]} }'
    assert CODEC.native_request(body, model="up") == body.replace(b"models/m", b"models/up")
    assert CODEC.native_request(body, model="m") == body
    sent = json.loads(CODEC.native_request(raw(MANY), model="up"))
    assert [entry["model"] for entry in sent["requests"]] == ["models/up", "models/up"]
    assert [entry["content"] for entry in sent["requests"]] == [entry["content"] for entry in MANY["requests"]]


def test_openai_clients_of_a_gemini_upstream_and_the_other_way_round() -> None:
    vectors = CODEC.decode_reply(raw({"embeddings": [{"values": [0.5]}]}))
    asked = raw({"model": "m", "input": "a"})
    shown = json.loads(OpenAIEmbeddings().encode_reply(vectors, asked=asked, model="m"))
    assert shown["data"][0]["embedding"] == [0.5]
    sent = OpenAIEmbeddings().encode_request(
        CODEC.decode_request(raw({"requests": [{**ONE, **OPTIONS}, {**ONE, **OPTIONS}]})), model="up"
    )
    assert json.loads(sent.body) == {"model": "up", "input": ["a", "a"], "dimensions": 8}
    assert sent.dropped == ("taskType",)

"""Rankings: every upstream says its usage in its own place."""

from __future__ import annotations

import orjson
import pytest

from relayhub.dialects.openai_native import JinaRerank
from relayhub.dialects.openai_native.rerank import read_envelope, usage_of
from relayhub.types.errors import UpstreamError
from relayhub.types.json import JsonObject
from relayhub.types.usage import Usage
from tests.dialects.native import reply, seen_as

CODEC = JinaRerank()
ASKED = b'{"query":"q", "documents":["a", {"text":"b"}],\n "model":"public", "top_n":1}'
RESULTS = b'"results":[{"index":1,"relevance_score":0.98,"document":{"text":"b"}}]'


def test_only_the_model_is_replaced() -> None:
    envelope = read_envelope(orjson.loads(ASKED), len(ASKED))
    assert CODEC.native_request(ASKED, model="up/stream", envelope=envelope) == ASKED.replace(b"public", b"up/stream")


def test_the_query_counts_with_every_document() -> None:
    asked: JsonObject = {"model": "m", "query": "0123456789", "documents": ["a", "b", "c"]}
    assert read_envelope(asked, 100).text_bytes == 120


@pytest.mark.parametrize("documents", [None, [], "one", 7])
def test_odd_documents_are_the_upstreams_business(documents: object) -> None:
    asked = orjson.loads(orjson.dumps({"model": "m", "query": "abc", "documents": documents}))
    assert read_envelope(asked, 100).text_bytes == 100


@pytest.mark.parametrize(
    ("said", "usage"),
    [
        ({"usage": {"total_tokens": 15}}, Usage(input_tokens=15)),
        ({"usage": {"prompt_tokens": 12, "total_tokens": 12}}, Usage(input_tokens=12)),
        ({"usage": {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}}, Usage(12, 3)),
        ({"meta": {"tokens": {"input_tokens": 28, "output_tokens": 1}}}, Usage(28, 1)),
        ({"meta": {"billed_units": {"input_tokens": 28.0, "output_tokens": 0, "search_units": 0}}}, Usage(28)),
        ({"meta": {"billed_units": {"input_tokens": 0}, "tokens": {"input_tokens": 28}}}, Usage(28)),
        ({"meta": {"billed_units": {"input_tokens": 20}, "tokens": {"input_tokens": 28}}}, Usage(20)),
        ({"meta": {"billed_units": {"search_units": 1}}}, Usage()),
        ({"meta": {"api_version": {"version": "2"}}}, None),
        ({"usage": {"total_tokens": -1}}, None),
        ({"usage": "much", "meta": []}, None),
        ({}, None),
    ],
)
def test_usage_wherever_it_stands(said: JsonObject, usage: Usage | None) -> None:
    assert usage_of(said) == usage


def test_an_answer_is_renamed_and_otherwise_untouched() -> None:
    body = b'{ "model":"upstream", "usage":{"total_tokens":5}, ' + RESULTS + b"}"
    answer = CODEC.native_reply(reply(body), seen_as(read_envelope({"model": "public"}, 0)))
    assert answer.body == body.replace(b"upstream", b"public")
    assert answer.usage == Usage(input_tokens=5)


@pytest.mark.parametrize("body", [b"nope", b"[]", b"{}", b'{"results": {}}', b'{"error": {"message": "x"}}'])
def test_what_is_no_ranking_is_an_upstream_error(body: bytes) -> None:
    with pytest.raises(UpstreamError):
        CODEC.native_reply(reply(body), seen_as(read_envelope({"model": "m"}, 0)))

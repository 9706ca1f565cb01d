"""Moderations: free of tokens unless the upstream says otherwise."""

from __future__ import annotations

import pytest

from relayhub.dialects.jsontext import parse_object
from relayhub.dialects.openai_native import OpenAIModerations
from relayhub.dialects.openai_native.moderations import read_envelope
from relayhub.types.errors import ClientError, UpstreamError
from relayhub.types.usage import Usage
from tests.dialects.native import reply, seen_as

CODEC = OpenAIModerations()
ASKED = b'{"input": [{"type":"text", "text":"x"}],  "model":"public"}'
ANSWER = b'{"id":"modr-1","model":"upstream","results":[{"flagged":false,"categories":{}}]}'


def test_only_the_model_is_replaced() -> None:
    sent = CODEC.native_request(ASKED, model="upstream", envelope=read_envelope(parse_object(ASKED)))
    assert sent == ASKED.replace(b"public", b"upstream")


def test_without_a_model_it_is_openais_own_and_the_upstream_is_told() -> None:
    body = b'{"input": "x"}'
    envelope = read_envelope(parse_object(body))
    assert envelope.model == "omni-moderation-latest"
    assert CODEC.native_request(body, model="up", envelope=envelope) == b'{"model":"up","input": "x"}'


def test_a_model_that_is_no_text_is_refused() -> None:
    with pytest.raises(ClientError) as caught:
        read_envelope({"model": 3})
    assert caught.value.param == "model"


def test_no_tokens_were_used_where_none_are_said() -> None:
    answer = CODEC.native_reply(reply(ANSWER), seen_as(read_envelope({"model": "public"})))
    assert answer.body == ANSWER.replace(b"upstream", b"public")
    assert answer.usage == Usage()


def test_an_upstreams_own_count_is_believed() -> None:
    body = ANSWER[:-1] + b',"usage":{"prompt_tokens":9}}'
    assert CODEC.native_reply(reply(body), seen_as(read_envelope({"model": "m"}))).usage == Usage(input_tokens=9)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"results": []}', b'{"results": "x"}', b'{"error": "down"}'])
def test_what_is_no_moderation_is_an_upstream_error(body: bytes) -> None:
    with pytest.raises(UpstreamError):
        CODEC.native_reply(reply(body), seen_as(read_envelope({"model": "m"})))

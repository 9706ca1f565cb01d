"""Whole answers: what upstreams send instead of what they should, in both lanes."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayhub.dialects.openai_chat import OpenAIChat
from relayhub.types.chat import (
    ChatReply,
    Choice,
    FinishReason,
    Message,
    ReasoningPart,
    RefusalPart,
    Role,
    TextPart,
    ToolCallPart,
)
from relayhub.types.errors import ErrorKind, UpstreamError
from relayhub.types.usage import Usage
from tests.dialects.views import encoded, view

CODEC = OpenAIChat()
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}


def reply(message: dict[str, Any] | None = None, finish: Any = "stop", **fields: Any) -> bytes:
    message = {"role": "assistant", "content": "Hi", "refusal": None} if message is None else message
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    body = {"id": "r1", "object": "chat.completion", "created": 5, "model": "m", "choices": [choice], **fields}
    return json.dumps(body).encode()


def again(body: bytes) -> Any:
    return json.loads(encoded(CODEC, CODEC.decode_reply(body)))


FULL: list[bytes] = [
    reply(),
    reply(
        service_tier="default",
        system_fingerprint="fp",
        usage={
            "prompt_tokens": 9,
            "completion_tokens": 4,
            "total_tokens": 13,
            "completion_tokens_details": {"audio_tokens": 0, "reasoning_tokens": 1},
            "x": 1,
        },
    ),
    reply(
        {"role": "assistant", "content": None, "refusal": None, "tool_calls": [CALL, {**CALL, "id": "c2"}]},
        "tool_calls",
    ),
    reply({"role": "assistant", "content": "", "refusal": None, "tool_calls": [CALL]}, "length"),
    reply({"role": "assistant", "content": None, "refusal": "No."}),
    reply({"role": "assistant", "content": "Yes", "refusal": None, "reasoning_content": "Hm"}),
    reply(
        {
            "role": "assistant",
            "content": "Yes",
            "refusal": None,
            "reasoning": "Hm",
            "reasoning_details": [{"type": "x"}],
        }
    ),
    reply(
        {
            "role": "assistant",
            "content": "See",
            "refusal": None,
            "annotations": [{"type": "url_citation"}],
            "audio": {"id": "a"},
        }
    ),
    reply(
        {
            "role": "assistant",
            "content": None,
            "refusal": None,
            "tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "raw", "input": "x"}}],
        },
        "tool_calls",
    ),
]


@pytest.mark.parametrize("body", FULL)
def test_a_reply_comes_back_equal(body: bytes) -> None:
    assert again(body) == json.loads(body)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("stop", "tool_calls"),
        (None, "tool_calls"),
        ("function_call", "tool_calls"),
        ("length", "length"),
        ("content_filter", "content_filter"),
    ],
)
def test_calls_decide_the_finish_unless_the_answer_was_cut(said: Any, shown: str) -> None:
    body = reply({"role": "assistant", "content": None, "tool_calls": [CALL]}, said)
    assert again(body)["choices"][0]["finish_reason"] == shown


@pytest.mark.parametrize("said", ["eos", None, "", 5, "stop_sequence"])
def test_only_legal_finish_reasons_come_out(said: Any) -> None:
    assert again(reply(finish=said))["choices"][0]["finish_reason"] == "stop"


def test_loose_messages_are_read() -> None:
    loose = {
        "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}, 5],
        "tool_calls": [{"function": {"name": "f", "arguments": {"x": 1}}}, {"id": "", "function": {"name": "g"}}, 7],
    }
    [choice] = CODEC.decode_reply(reply(loose)).choices
    text, first, second = choice.message.parts
    assert text == TextPart("ab")
    assert isinstance(first, ToolCallPart)
    assert isinstance(second, ToolCallPart)
    assert (first.name, first.arguments, second.name, second.arguments) == ("f", '{"x":1}', "g", "")
    assert first.id != second.id
    written = again(reply(loose))["choices"][0]["message"]["tool_calls"]
    assert written[1]["function"]["arguments"] == "{}"


NO_REPLY: dict[str, bytes] = {
    "empty": b"",
    "not json": b"{oops",
    "html": b"<html></html>",
    "array": b"[]",
    "null": b"null",
    "a stream": b'data: {"choices":[]}\n\n',
    "no choices": b'{"id":"x"}',
    "null choices": b'{"choices":null}',
    "empty choices": b'{"choices":[]}',
    "choices of another kind": b'{"choices":{}}',
    "deep": b'{"choices":[' + b"[" * 5000 + b"]" * 5000 + b"]}",
    "NaN": b'{"choices":[{"logprobs":NaN}]}',
}


@pytest.mark.parametrize("name", NO_REPLY)
def test_what_is_no_completion_is_an_upstream_error(name: str) -> None:
    for read in (CODEC.decode_reply, lambda body: CODEC.native_reply(body, view(rename_to="x"))):
        with pytest.raises(UpstreamError) as caught:
            read(NO_REPLY[name])
        assert (caught.value.code, caught.value.delivered) == ("upstream_invalid_response", True)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({"message": "x", "type": "server_error"}, ErrorKind.UPSTREAM_FAILED),
        ("text", ErrorKind.UPSTREAM_FAILED),
        ({"message": "x", "code": 429}, ErrorKind.UPSTREAM_RATE_LIMITED),
        ({"message": "x", "n": 10**40}, ErrorKind.UPSTREAM_FAILED),
    ],
)
def test_an_error_in_a_200_is_an_error(value: Any, kind: ErrorKind) -> None:
    body = reply(error=value)
    for read in (CODEC.decode_reply, lambda body: CODEC.native_reply(body, view(rename_to=None))):
        with pytest.raises(UpstreamError) as caught:
            read(body)
        assert caught.value.kind is kind


def test_falsy_errors_are_none() -> None:
    falsy: list[Any] = [None, "", {}, []]
    for value in falsy:
        body = reply(error=value)
        assert CODEC.native_reply(body, view(rename_to=None))[0] is body
        CODEC.decode_reply(body)


def test_the_byte_lane_changes_the_name_only_and_reads_usage() -> None:
    head = b'{ "model" : "m", "x":1.50, "choices":[{"message":{"content":"\\"model\\""}}],\n'
    body = head + b'"usage":{"prompt_tokens":3,"completion_tokens":2} }'
    passed, usage = CODEC.native_reply(body, view(rename_to="new"))
    assert passed == body.replace(b'"m"', b'"new"', 1)
    assert usage == Usage(3, 2)
    assert CODEC.native_reply(body, view(rename_to=None))[0] is body


def test_a_reply_without_a_model_stays_without_one() -> None:
    body = b'{"choices":[{"message":{}}]}'
    assert CODEC.native_reply(body, view(rename_to="new")) == (body, None)


def test_a_byte_order_mark_and_broken_utf8_do_no_harm() -> None:
    body = b"\xef\xbb\xbf" + reply().replace(b"Hi", b"H\xff")
    passed, _ = CODEC.native_reply(body, view(rename_to=None))
    assert json.loads(passed.decode())["choices"][0]["message"]["content"] == "H�"
    assert CODEC.decode_reply(body).choices[0].message.parts == (TextPart("H�"),)


@pytest.mark.parametrize(
    "usage", [None, 5, {}, {"prompt_tokens": -1}, {"prompt_tokens": 2**40}, {"prompt_tokens": "3"}, {"x": 10**40}]
)
def test_unbelievable_usage_is_none(usage: Any) -> None:
    body = reply(usage=usage)
    assert CODEC.native_reply(body, view(rename_to=None))[1] is None
    assert CODEC.decode_reply(body).usage is None


HUGE = ["1" * 400, "-" + "1" * 400, "1" * 5000, "1e400"]


@pytest.mark.parametrize("huge", HUGE)
@pytest.mark.parametrize(
    "usage", ["%s", "[%s]", '{"prompt_tokens":%s}', '{"prompt_tokens_details":{"cached_tokens":%s}}']
)
def test_no_answer_of_the_byte_lane_is_refused_for_an_absurd_usage(usage: str, huge: str) -> None:
    body = f'{{"model":"m","choices":[{{"message":{{}}}}],"usage":{usage % huge}}}'.encode()
    assert CODEC.native_reply(body, view(rename_to="new")) == (body.replace(b'"m"', b'"new"', 1), None)


@pytest.mark.parametrize("huge", HUGE)
def test_the_byte_lane_reads_usage_beside_what_nobody_reads(huge: str) -> None:
    body = f'{{"choices":[{{"message":{{}}}}],"usage":{{"prompt_tokens":3,"x":{huge},"completion_tokens":2}}}}'.encode()
    assert CODEC.native_reply(body, view(rename_to=None)) == (body, Usage(3, 2))


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ('"choices":[],"usage":1e400', "upstream_invalid_response"),
        ('"choices":{},"usage":1e400', "upstream_invalid_response"),
        ('"choices":[{}],"usage":1e400,', "upstream_invalid_response"),
        ('"choices":[{}],"usage":1e400,"error":{"message":"no"}', "upstream_error"),
    ],
)
def test_an_absurd_usage_hides_no_other_fault(fields: str, code: str) -> None:
    with pytest.raises(UpstreamError) as refused:
        CODEC.native_reply(f"{{{fields}}}".encode(), view(rename_to=None))
    assert refused.value.code == code


def test_a_reply_of_another_dialect_is_written_by_the_book() -> None:
    parts = (ReasoningPart("think", signature="s"), TextPart("a"), TextPart("b"), ToolCallPart("t", "f", ""))
    message = Message(Role.ASSISTANT, parts, extras={"stop_sequence": "x"})
    answer = ChatReply(
        "r", "m", 7, (Choice(0, message, FinishReason.STOP, {"y": 1}),), Usage(9, 4, 3, 2, 1), {"type": "message"}
    )
    assert json.loads(encoded(CODEC, answer)) == {
        "id": "r",
        "object": "chat.completion",
        "created": 7,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "ab",
                    "refusal": None,
                    "reasoning_content": "think",
                    "tool_calls": [{"id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
                },
                "logprobs": None,
                "finish_reason": "tool_calls",
            }
        ],
        "usage": {
            "prompt_tokens": 9,
            "completion_tokens": 4,
            "total_tokens": 13,
            "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 2},
            "completion_tokens_details": {"reasoning_tokens": 1},
        },
    }


@pytest.mark.parametrize(
    ("parts", "content"),
    [((), ""), ((RefusalPart("no"),), None), ((ToolCallPart("t", "f", "{}"),), None), ((TextPart("x"),), "x")],
)
def test_an_empty_answer_has_an_empty_string(parts: Any, content: str | None) -> None:
    answer = ChatReply("r", "m", 7, (Choice(0, Message(Role.ASSISTANT, parts), FinishReason.CONTENT_FILTER),))
    assert json.loads(encoded(CODEC, answer))["choices"][0]["message"]["content"] == content


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                ["id", "choices", "message", "index", "content", "tool_calls", "function", "usage", "error", "model"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


@given(json_values | st.builds(lambda message: {"choices": [{"message": message}]}, json_values))
def test_any_json_is_a_reply_or_an_upstream_error(value: Any) -> None:
    body = json.dumps(value).encode()
    with contextlib.suppress(UpstreamError):
        json.loads(encoded(CODEC, CODEC.decode_reply(body)))
    with contextlib.suppress(UpstreamError):
        json.loads(CODEC.native_reply(body, view(rename_to="x"))[0])

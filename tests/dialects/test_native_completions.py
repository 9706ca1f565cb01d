"""Text completions: bytes pass through, usage is asked for and read, and the end is a real one."""

from __future__ import annotations

import orjson
import pytest

from relayhub.dialects.codec import Envelope
from relayhub.dialects.jsontext import parse_object
from relayhub.dialects.openai_native import OpenAICompletions
from relayhub.dialects.openai_native.completions import read_envelope
from relayhub.types.errors import ClientError, UpstreamError
from relayhub.types.usage import Usage
from tests.dialects.native import events, relayed, reply, seen_as

CODEC = OpenAICompletions()
ODD = b'{ "prompt" : "once upon", "model":"public","logprobs": 5, "n": 2, "echo":true, "suffix":"\\u00e9", "x": 1.50 }'
DONE = b"data: [DONE]\n\n"


def envelope(body: bytes) -> Envelope:
    return read_envelope(parse_object(body))


def test_only_the_model_is_replaced() -> None:
    body = CODEC.native_request(ODD, model="upstream", envelope=envelope(ODD))
    assert body == ODD.replace(b'"public"', b'"upstream"')


def test_a_body_that_names_the_upstreams_model_is_the_same_object() -> None:
    assert CODEC.native_request(ODD, model="public", envelope=envelope(ODD)) is ODD


def test_a_stream_asks_for_usage_and_keeps_other_options() -> None:
    body = b'{"model":"m","prompt":"x","stream":true,"stream_options":{"continuous":1}}'
    sent = orjson.loads(CODEC.native_request(body, model="m", envelope=envelope(body)))
    assert sent["stream_options"] == {"continuous": 1, "include_usage": True}


@pytest.mark.parametrize(
    ("more", "choices"),
    [
        ("", 1),
        (', "n": 3', 3),
        (', "n": 3, "best_of": 5', 5),
        (', "n": 2, "prompt": ["a", "b", "c"]', 6),
        (', "prompt": [1, 2, 3]', 1),
        (', "prompt": [[1, 2], [3]]', 2),
        (', "prompt": []', 1),
    ],
)
def test_all_that_is_generated_counts_for_the_hold(more: str, choices: int) -> None:
    assert envelope(b'{"model": "m"' + more.encode() + b"}").choices == choices


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ('"prompt": {}', "prompt"),
        ('"n": 0', "n"),
        ('"n": 1.0', "n"),
        ('"best_of": 129', "best_of"),
        ('"max_tokens": -1', "max_tokens"),
        ('"stream": "yes"', "stream"),
        ('"stream_options": []', "stream_options"),
        ('"prompt": [' + ",".join(['""'] * 2049) + "]", "prompt"),
    ],
)
def test_what_the_hold_depends_on_is_checked(more: str, param: str) -> None:
    with pytest.raises(ClientError) as caught:
        envelope(b'{"model": "m", ' + more.encode() + b"}")
    assert caught.value.param == param


def test_a_cap_of_zero_is_the_clients_business() -> None:
    assert envelope(b'{"model": "m", "max_tokens": 0, "echo": true}').output_cap == 0


def test_a_whole_answer_is_renamed_and_counted() -> None:
    body = b'{"model":"upstream","choices":[{"text":"abc"},{"text":"de"}],"usage":{"prompt_tokens":4,"completion_tokens":3}}'
    answer = CODEC.native_reply(reply(body), seen_as(envelope(ODD)))
    assert answer.body == body.replace(b"upstream", b"public")
    assert (answer.usage, answer.chars) == (Usage(input_tokens=4, output_tokens=3), 5)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"choices": []}', "upstream_invalid_response"),
        (b"<html>", "upstream_invalid_response"),
        (b'{"error": {"message": "no", "type": "invalid_request_error"}}', "upstream_rejected"),
    ],
)
def test_what_is_no_completion_is_an_upstream_error(body: bytes, code: str) -> None:
    with pytest.raises(UpstreamError) as caught:
        CODEC.native_reply(reply(body), seen_as(envelope(ODD)))
    assert caught.value.code == code


A = b'{"model":"upstream","choices":[{"index":0,"text":"ab","logprobs":{"tokens":["ab"]}}],"usage":null}'
B = b'{"model":"upstream","choices":[{"index":1,"text":"c"}],"usage":null}'
ENDS = [b'{"model":"upstream","choices":[{"index":%d,"text":"","finish_reason":"stop"}]}' % at for at in (0, 1)]
COUNTED = b'{"model":"upstream","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2}}'
WHOLE = events(A, B, *ENDS, COUNTED, b"[DONE]")


@pytest.mark.parametrize("size", [1, 3, 50, 10_000])
@pytest.mark.parametrize("asked", [False, True])
def test_a_stream_passes_with_the_usage_event_only_for_who_asked(size: int, asked: bool) -> None:
    options = b', "stream_options": {"include_usage": true}' if asked else b""
    view = seen_as(envelope(b'{"model": "public", "stream": true' + options + b"}"))
    stream = CODEC.native_stream({}, view)
    before, last = relayed(stream, WHOLE, size)
    shown = [A, B, *ENDS, *([COUNTED] if asked else [])]
    assert before == events(*shown).replace(b'"upstream"', b'"public"')
    assert last == DONE
    assert stream.usage == Usage(input_tokens=7, output_tokens=2)
    assert stream.delivered_chars == 3


def test_the_terminal_event_waits() -> None:
    stream = CODEC.native_stream({}, seen_as(envelope(b'{"model": "public", "stream": true}')))
    assert b"[DONE]" not in stream.feed(WHOLE)
    assert stream.ended


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (events(A, B), "upstream_truncated"),
        (events(A, ENDS[0], B), "upstream_truncated"),
        (events(b"[DONE]"), "upstream_invalid_response"),
        (b"", "upstream_invalid_response"),
        (events(A, b'{"error": {"message": "x", "type": "server_error"}}'), "upstream_error"),
        (b'{"error": {"message": "x", "code": "rate_limit_exceeded"}}', "upstream_rate_limited"),
    ],
)
@pytest.mark.parametrize("size", [1, 10_000])
def test_an_end_that_is_none_is_an_error(sent: bytes, code: str, size: int) -> None:
    stream = CODEC.native_stream({}, seen_as(envelope(b'{"model": "public", "stream": true}')))
    before, last = relayed(stream, sent, size)
    assert last == code
    assert b"[DONE]" not in before


def test_every_choice_finished_and_a_clean_end_need_no_done() -> None:
    stream = CODEC.native_stream({}, seen_as(envelope(b'{"model": "public", "stream": true}')))
    assert relayed(stream, events(A, B, *ENDS), 10)[1] == DONE

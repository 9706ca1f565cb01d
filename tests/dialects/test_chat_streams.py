"""Streamed answers: what upstreams are known to send, the rules a writer keeps, and truthful ends, in both lanes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayhub.dialects.openai_chat import OpenAIChat
from relayhub.types.chat import (
    ChatEvent,
    Ended,
    ExtraDelta,
    Finished,
    FinishReason,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)
from relayhub.types.errors import ErrorKind, UpstreamError
from relayhub.types.usage import Usage
from tests.dialects.observed import frames_of, observe_stream, splits, through_native, through_translation
from tests.dialects.views import view

CODEC = OpenAIChat()
DONE = b"data: [DONE]\n\n"


def frame(value: Any) -> bytes:
    return b"data: " + json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode() + b"\n\n"


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, index: int = 0, **extra: Any) -> bytes:
    choice = {"index": index, "delta": delta or {}, "finish_reason": finish}
    return frame(
        {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **extra}
    )


def text(content: str, **extra: Any) -> bytes:
    return chunk({"content": content}, **extra)


STOP = chunk(finish="stop")


def calls(*fragments: dict[str, Any]) -> bytes:
    return chunk({"tool_calls": list(fragments)})


def events_of(*parts: bytes) -> list[ChatEvent]:
    decoder = CODEC.stream_decoder()
    events = list(decoder.feed(b"".join(parts)))
    if Ended() not in events:
        events += decoder.close()
    return events


def both(*parts: bytes) -> tuple[bytes, bytes]:
    """What a client that asked for usage gets by the byte lane, and by way of events."""
    body = b"".join(parts)
    native = through_native(CODEC.native_stream(view(rename_to=None, include_usage=True)), [body])
    encoder = CODEC.stream_encoder(view(model="m", include_usage=True))
    return native, through_translation(CODEC.stream_decoder(), encoder, [body])


def failure_of(*parts: bytes) -> tuple[UpstreamError, UpstreamError]:
    with pytest.raises(UpstreamError) as native:
        through_native(CODEC.native_stream(view(rename_to=None, include_usage=True)), parts)
    with pytest.raises(UpstreamError) as translated:
        through_translation(CODEC.stream_decoder(), CODEC.stream_encoder(view(model="m", include_usage=True)), parts)
    assert native.value.code == translated.value.code
    return native.value, translated.value


# --- tool calls, however they are cut ------------------------------------------------------------------------------------

BOOK: list[dict[str, Any]] = [
    {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}},
    {"index": 0, "function": {"arguments": '{"x":'}},
    {"index": 0, "function": {"arguments": "1}"}},
    {"index": 1, "id": "b", "type": "function", "function": {"name": "g", "arguments": ""}},
    {"index": 1, "function": {"arguments": "{}"}},
]
WAYS: dict[str, list[list[dict[str, Any]]]] = {
    "by the book": [[fragment] for fragment in BOOK],
    "all in one chunk": [BOOK],
    "interleaved": [[BOOK[0], BOOK[3]], [BOOK[4], BOOK[1]], [BOOK[2]]],
    "no index": [[{key: value for key, value in fragment.items() if key != "index"}] for fragment in BOOK],
    "null index": [[{**fragment, "index": None}] for fragment in BOOK],
    "id and name repeated": [
        [{**fragment, "id": "ab"[n > 2], "function": {"name": "fg"[n > 2], **fragment["function"]}}]
        for n, fragment in enumerate(BOOK)
    ],
    "a new id on every fragment": [
        [{**fragment, "id": fragment.get("id", f"random{n}"), "function": {"name": None, **fragment["function"]}}]
        for n, fragment in enumerate(BOOK)
    ],
    "whole calls": [
        [{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}],
        [{"index": 1, "id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}}],
    ],
    "whole calls, all with index 0": [
        [{"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"x":1}'}}],
        [{"index": 0, "id": "b", "function": {"name": "g", "arguments": "{}"}}],
    ],
    "arguments as objects": [
        [{"index": 0, "id": "a", "function": {"name": "f", "arguments": {"x": 1}}}],
        [{"index": 1, "id": "b", "function": {"name": "g", "arguments": {}}}],
    ],
    "indices with gaps": [[{**fragment, "index": fragment["index"] * 3 + 2}] for fragment in BOOK],
    "the name late": [
        [{"index": 0, "id": "a", "type": "function"}],
        [{"index": 0, "function": {"arguments": '{"x":'}}],
        [{"index": 0, "function": {"name": "f", "arguments": "1}"}}],
        [BOOK[3]],
        [BOOK[4]],
    ],
}


@pytest.mark.parametrize("way", WAYS)
def test_tool_calls_come_out_by_the_book(way: str) -> None:
    body = b"".join(calls(*fragments) for fragments in WAYS[way]) + chunk(finish="tool_calls") + DONE
    encoder = CODEC.stream_encoder(view(model="m", include_usage=False))
    written = through_translation(CODEC.stream_decoder(), encoder, [body])
    assert observe_stream(written).tool_calls == [["a", "f", '{"x":1}'], ["b", "g", "{}"]]
    _check_written_calls(frames_of(written))


def _check_written_calls(events: list[Any]) -> None:
    """``id``, ``type`` and ``name`` in the first fragment of a call only; indices contiguous from 0."""
    seen: list[int] = []
    for event in events[:-1]:
        for fragment in event["choices"][0]["delta"].get("tool_calls", ()):
            first = fragment["index"] not in seen
            assert ("id" in fragment, "type" in fragment, "name" in fragment["function"]) == (first,) * 3
            if first:
                seen.append(fragment["index"])
    assert seen == list(range(len(seen)))


def test_numbers_have_no_gaps_even_where_a_call_is_named_late() -> None:
    late = {"index": 0, "id": "a", "function": {"arguments": "1"}}
    events = events_of(calls(late), calls(BOOK[3]), calls({"index": 0, "function": {"name": "f"}}), STOP)
    assert [event for event in events if isinstance(event, ToolCallStarted | ToolCallDelta)] == [
        ToolCallStarted(0, 0, "b", "g"),
        ToolCallStarted(0, 1, "a", "f"),
        ToolCallDelta(0, 1, "1"),
    ]


def test_a_call_that_never_gets_a_name_is_still_shown() -> None:
    events = events_of(calls({"index": 0, "id": "a", "function": {"arguments": "{}"}}), STOP)
    assert ToolCallStarted(0, 0, "a", "") in events
    assert ToolCallDelta(0, 0, "{}") in events


def test_calls_without_an_id_get_one_that_is_stable_and_distinct() -> None:
    body = calls(
        {"index": 0, "function": {"name": "f", "arguments": "{}"}},
        {"index": 1, "function": {"name": "f", "arguments": "{}"}},
    )
    first, second = (
        [event.id for event in events_of(body, STOP) if isinstance(event, ToolCallStarted)] for _ in range(2)
    )
    assert first == second
    assert len(set(first)) == 2
    assert all(id_.startswith("call_") and len(id_) <= 40 for id_ in first)


def test_custom_tool_calls_keep_their_shape() -> None:
    body = calls({"index": 0, "id": "a", "type": "custom", "custom": {"name": "raw", "input": "ab"}}) + calls(
        {"index": 0, "custom": {"input": "c"}}
    )
    encoder = CODEC.stream_encoder(view(model="m", include_usage=False))
    written = through_translation(CODEC.stream_decoder(), encoder, [body + STOP + DONE])
    fragments = [event["choices"][0]["delta"]["tool_calls"][0] for event in frames_of(written)[:-2]]
    assert fragments[0] == {"index": 0, "id": "a", "type": "custom", "custom": {"name": "raw", "input": ""}}
    assert "".join(fragment["custom"]["input"] for fragment in fragments) == "abc"


@pytest.mark.parametrize(
    ("said", "shown"),
    [("stop", "tool_calls"), ("tool_calls", "tool_calls"), ("length", "length"), ("content_filter", "content_filter")],
)
def test_calls_decide_the_finish_unless_the_answer_was_cut(said: str, shown: str) -> None:
    assert Finished(0, FinishReason(shown)) in events_of(calls(BOOK[0]), chunk(finish=said), DONE)


@pytest.mark.parametrize(
    ("said", "shown"), [("eos", "stop"), ("max_tokens", "length"), ("SAFETY", "content_filter"), ("LENGTH", "length")]
)
def test_only_the_five_finish_reasons_come_out(said: str, shown: str) -> None:
    assert Finished(0, FinishReason(shown)) in events_of(text("x"), chunk(finish=said))


# --- other habits of upstreams ---------------------------------------------------------------------------------------------


def test_a_preamble_without_choices_does_not_name_the_answer() -> None:
    preamble = frame({"id": "", "object": "", "created": 0, "model": "", "choices": [], "prompt_filter_results": [{}]})
    events = events_of(preamble, text("x"), STOP, DONE)
    assert events[0] == Started("c1", "m", 1, {"openai.chat": {}})


@pytest.mark.parametrize(
    "reasoning", [{"reasoning_content": "hm"}, {"reasoning": "hm"}, {"reasoning_content": "hm", "reasoning": "hm"}]
)
def test_reasoning_is_read_once_and_written_under_its_own_name(reasoning: dict[str, str]) -> None:
    field = next(iter(reasoning))
    events = events_of(chunk(reasoning), text("x"), STOP)
    assert [event for event in events if isinstance(event, ReasoningDelta)] == [
        ReasoningDelta(0, "hm", wire_field=field)
    ]
    written = frames_of(CODEC.stream_encoder(view(model="m", include_usage=False)).encode(events))
    assert written[0]["choices"][0]["delta"] == {"role": "assistant", "content": "", field: "hm"}


def usage(prompt: Any, completion: Any, **details: Any) -> dict[str, Any]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, **details}


USAGES: dict[str, tuple[list[bytes], Usage | None]] = {
    "own chunk": (
        [text("x"), STOP, frame({"id": "c1", "model": "m", "choices": [], "usage": usage(3, 2)})],
        Usage(3, 2),
    ),
    "on the finish": ([text("x"), chunk(finish="stop", usage=usage(3, 2))], Usage(3, 2)),
    "on every chunk": (
        [text("x", usage=usage(3, 1)), text("y", usage=usage(3, 2)), chunk(finish="stop", usage=usage(3, 3))],
        Usage(3, 3),
    ),
    "null at the end": ([text("x", usage=usage(3, 1)), chunk(finish="stop", usage=None)], Usage(3, 1)),
    "choices null": ([text("x"), STOP, frame({"model": "m", "choices": None, "usage": usage(1, 1)})], Usage(1, 1)),
    "cached outside the details": (
        [chunk(finish="stop", usage=usage(9, 2, prompt_cache_hit_tokens=4))],
        Usage(9, 2, 4),
    ),
    "cached beside the totals": ([chunk(finish="stop", usage=usage(9, 2, cached_tokens=4))], Usage(9, 2, 4)),
    "details beyond their totals": (
        [
            chunk(
                finish="stop",
                usage=usage(
                    9,
                    2,
                    prompt_tokens_details={"cached_tokens": 50, "cache_write_tokens": 5},
                    completion_tokens_details={"reasoning_tokens": 7},
                ),
            )
        ],
        Usage(9, 2, 9, 0, 2),
    ),
    "negative": ([chunk(finish="stop", usage=usage(-3, 2))], None),
    "huge": ([chunk(finish="stop", usage=usage(3, 2**40))], None),
    "a float": ([chunk(finish="stop", usage=usage(3.5, 2))], None),
    "true": ([chunk(finish="stop", usage=usage(True, 2))], None),
    "a text": ([chunk(finish="stop", usage=usage("3", 2))], None),
    "a list": ([chunk(finish="stop", usage=[1])], None),
    "empty": ([chunk(finish="stop", usage={})], None),
    "good before bad": ([text("x", usage=usage(3, 1)), chunk(finish="stop", usage=usage(-1, -1))], Usage(3, 1)),
    "none": ([text("x"), STOP], None),
}


@pytest.mark.parametrize("habit", USAGES)
def test_usage_is_read_wherever_it_is_and_only_if_believable(habit: str) -> None:
    parts, expected = USAGES[habit]
    native = CODEC.native_stream(view(rename_to=None, include_usage=True))
    native.feed(b"".join(parts))
    reported = [event.usage for event in events_of(*parts) if isinstance(event, UsageReported)]
    assert native.usage == expected
    assert (reported[-1] if reported else None) == expected


def test_odd_but_legal_framing_changes_nothing() -> None:
    plain = [text("a"), text("é"), STOP, DONE]
    odd = [
        b"\xef\xbb\xbf: hello\r\n\r\n",
        plain[0].replace(b"data: ", b"data:").replace(b"\n\n", b"\r\n\r\n"),
        b"event: message\rid: 7\rretry: 10\r" + plain[1].replace(b"\n\n", b"\r\r"),
        plain[2].replace(b',"object"', b'\ndata: ,"object"'),
        b"data:[DONE]\n\n",
    ]
    assert events_of(*odd) == events_of(*plain)
    for pieces in splits(b"".join(odd)):
        native = CODEC.native_stream(view(rename_to="other", include_usage=True))
        out = through_native(native, pieces)
        assert native.delivered_chars == 2
        assert (out.count(b'"model":"other"'), out.count(b'"model":"m"'), out.endswith(DONE)) == (3, 0, True)


def test_a_line_end_may_be_missing_at_the_very_end() -> None:
    for last in (b"data: [DONE]", b"data: [DONE]\n", STOP[:-1], STOP[:-2]):
        parts = (text("x"), STOP, last) if b"DONE" in last else (text("x"), last)
        for out in both(*parts):
            seen = observe_stream(out)
            assert (seen.text, seen.finish, seen.done) == ("x", {0: "stop"}, True)


BROKEN = [
    b"data: {oops\n\n",
    b"data: [1,2]\n\n",
    b'data: "x"\n\n',
    b"data: " + b"[" * 5000 + b"\n\n",
    b'data: {"choices":[NaN]}\n\n',
]


@pytest.mark.parametrize("broken", BROKEN)
def test_one_unreadable_event_is_dropped_and_the_stream_goes_on(broken: bytes) -> None:
    with_usage = chunk(finish="stop", usage=usage(3, 2))
    for out in both(text("a"), broken, text("b"), with_usage, DONE):
        seen = observe_stream(out)
        assert (seen.text, seen.done) == ("ab", True)
        assert seen.usage is not None


def test_invalid_utf8_becomes_replacement_characters() -> None:
    for broken in (text("aXb").replace(b"X", b"\xff"), text("ab").replace(b'"c1"', b'"\xc3("')):
        native, translated = both(broken, STOP, DONE)
        for out in (native, translated):
            out.decode()
        assert observe_stream(native).text == observe_stream(translated).text
        assert "�" in native.decode()


WEIRD: list[dict[str, Any]] = [
    {"choices": "x"},
    {"choices": [5, None]},
    {"choices": [{"index": "0", "delta": {"content": "x"}}]},
    {"choices": [{"delta": None}]},
    {"choices": [{"index": 0, "delta": {"content": 5, "tool_calls": {"a": 1}, "reasoning": {}, "refusal": []}}]},
    {
        "choices": [
            {"index": 0, "delta": {"tool_calls": [{"index": "0", "function": "f"}, 7, {"function": {"name": 3}}]}}
        ]
    },
    {"choices": [{"index": 0, "delta": {"content": [{"type": "text", "text": "x"}]}}]},
    {"choices": [{"index": 0, "message": {"content": "x"}}], "usage": "many"},
    {"id": 5, "created": "now", "model": None, "choices": []},
    {},
]


@pytest.mark.parametrize("weird", WEIRD)
def test_wrongly_typed_chunks_never_raise(weird: dict[str, Any]) -> None:
    parts = frame(weird), text("end"), STOP, DONE
    events = events_of(*parts)
    native = CODEC.native_stream(view(rename_to="n", include_usage=False))
    native.feed(b"".join(parts))
    texts = "".join(event.text for event in events if isinstance(event, TextDelta))
    assert texts.endswith("end")
    assert native.delivered_chars == len(texts)
    assert native.ended


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "id",
                        "choices",
                        "delta",
                        "index",
                        "content",
                        "tool_calls",
                        "function",
                        "name",
                        "arguments",
                        "usage",
                        "finish_reason",
                        "model",
                    ]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=8,
    )
)
def test_any_json_is_survived_alike(value: Any) -> None:
    body = frame(value) + text("end") + STOP + DONE
    translated = CODEC.stream_decoder().feed(body)
    native = CODEC.native_stream(view(rename_to="n", include_usage=True))
    native.feed(body)
    assert native.ended
    assert Ended() in translated


# --- ends -----------------------------------------------------------------------------------------------------------------


def test_a_finish_on_every_choice_and_a_clean_end_is_an_end() -> None:
    two = text("a"), chunk({"content": "b"}, index=1), chunk(finish="stop", index=1), STOP
    for out in both(*two):
        assert observe_stream(out).finish == {0: "stop", 1: "stop"}
        assert out.endswith(DONE)


TRUNCATED = {
    "no finish": [text("a")],
    "one of two choices unfinished": [text("a"), chunk({"content": "b"}, index=1), STOP],
    "usage only": [frame({"id": "c1", "model": "m", "choices": [], "usage": usage(1, 1)})],
    "cut in a frame": [text("a"), STOP[:-20]],
}


@pytest.mark.parametrize("name", TRUNCATED)
def test_anything_else_is_truncation_and_never_done(name: str) -> None:
    for error in failure_of(*TRUNCATED[name]):
        assert (error.kind, error.code, error.delivered) == (ErrorKind.UPSTREAM_FAILED, "upstream_truncated", True)
        assert b"[DONE]" not in error.partial  # type: ignore[attr-defined]


@pytest.mark.parametrize("body", [b"", b": hi\n\n", DONE, b"\n\n", b'{"choices":[]}', b"<html></html>"])
def test_a_stream_without_events_is_an_error(body: bytes) -> None:
    for error in failure_of(body):
        assert error.code == "upstream_invalid_response"


def test_an_error_object_instead_of_a_stream_is_read() -> None:
    for error in failure_of(b'{"error":{"message":"no","type":"insufficient_quota"}}\n'):
        assert error.code == "upstream_quota"


def test_nothing_after_done_matters() -> None:
    late = frame({"error": {"message": "late"}})
    for out in both(text("a"), STOP, DONE, late, text("b")):
        assert observe_stream(out).text == "a"


def test_a_choice_that_repeats_its_end_ends_once() -> None:
    events = events_of(text("a"), STOP, STOP, chunk(finish="stop", usage=usage(1, 1)), DONE)
    assert [event for event in events if isinstance(event, Finished)] == [Finished(0, FinishReason.STOP)]
    assert UsageReported(Usage(1, 1)) in events


# --- errors in mid-stream -----------------------------------------------------------------------------------------------

IN_STREAM = [
    ({"message": "x", "type": "server_error", "code": None}, ErrorKind.UPSTREAM_FAILED),
    ({"message": "x", "code": 502}, ErrorKind.UPSTREAM_FAILED),
    ("just text", ErrorKind.UPSTREAM_FAILED),
    ({"message": "x", "type": "overloaded_error"}, ErrorKind.UPSTREAM_OVERLOADED),
    ({"message": "x", "code": "rate_limit_exceeded", "type": "requests"}, ErrorKind.UPSTREAM_RATE_LIMITED),
    ({"message": "x", "code": 429}, ErrorKind.UPSTREAM_RATE_LIMITED),
    ({"message": "x", "code": "insufficient_quota"}, ErrorKind.UPSTREAM_FAILED),
    ({"message": "x", "code": "context_length_exceeded", "type": "invalid_request_error"}, ErrorKind.UPSTREAM_REJECTED),
    ({"message": "x", "type": "timeout"}, ErrorKind.UPSTREAM_TIMEOUT),
    ({"message": "bad key", "code": "invalid_api_key", "type": "invalid_request_error"}, ErrorKind.UPSTREAM_FAILED),
]


@pytest.mark.parametrize(("value", "kind"), IN_STREAM)
def test_an_error_event_raises_after_what_came_before_it(value: Any, kind: ErrorKind) -> None:
    body = text("Par") + frame({"error": value}) + DONE
    for pieces in splits(body):
        for error in failure_of(*pieces):
            assert (error.kind, error.delivered, error.retryable) == (kind, True, False)
            seen = observe_stream(error.partial)  # type: ignore[attr-defined]
            assert (seen.text, seen.done) == ("Par", False)


def test_a_null_error_is_none() -> None:
    for out in both(text("a", error=None), chunk(finish="stop", error={}), DONE):
        assert observe_stream(out).text == "a"


def test_a_deferred_error_ends_the_tap_at_once() -> None:
    stream = CODEC.native_stream(view(rename_to=None, include_usage=True))
    assert stream.feed(text("a") + frame({"error": "no"})) == text("a")
    assert stream.ended
    with pytest.raises(UpstreamError):
        stream.finish()


def test_a_deferred_error_is_raised_by_the_next_read_even_an_empty_one() -> None:
    decoder = CODEC.stream_decoder()
    decoder.feed(text("a") + frame({"error": "no"}))
    with pytest.raises(UpstreamError):
        decoder.feed(b"")
    with pytest.raises(UpstreamError):
        decoder.close()


# --- the tap of the byte lane ----------------------------------------------------------------------------------------------


def test_comments_pass_but_start_nothing() -> None:
    stream = CODEC.native_stream(view(rename_to="x", include_usage=False))
    assert stream.feed(b": ping\n\n") == b": ping\n\n"
    assert not stream.started
    stream.feed(text("a"))
    assert stream.started


def test_whole_frames_only_and_done_is_held_back() -> None:
    stream = CODEC.native_stream(view(rename_to=None, include_usage=True))
    body = text("a") + STOP
    assert stream.feed(body[:-1]) == text("a")
    assert stream.feed(body[-1:] + DONE) == STOP
    assert stream.ended
    assert stream.feed(text("late")) == b""
    assert stream.finish() == DONE


def test_an_unchanged_frame_is_the_same_bytes() -> None:
    odd = b'data: { "model" : "m" , "choices":[ {"index":0,"delta":{"content":"a"}, "x":1.50} ] }\n\n'
    stream = CODEC.native_stream(view(rename_to=None, include_usage=True))
    stream.feed(b": c\n\n")
    assert stream.feed(odd) is odd


RENAMED = [
    (b'{"model":"m","choices":[]}', b'{"model":"new","choices":[]}'),
    (
        b'{ "choices":[{"model":"m","delta":{"content":"\\"model\\":\\"m\\""}}], "model" :  "m"}',
        b'{ "choices":[{"model":"m","delta":{"content":"\\"model\\":\\"m\\""}}], "model" :  "new"}',
    ),
    (b'{"a\\"model":"m","choices":[]}', b'{"a\\"model":"m","choices":[]}'),
    (b'{"mod\\u0065l":"m","choices":[]}', b'{"mod\\u0065l":"new","choices":[]}'),
    (b'{"model":null,"choices":[]}', b'{"model":"new","choices":[]}'),
    (b'{"choices":[]}', b'{"choices":[]}'),
]


@pytest.mark.parametrize(("before", "after"), RENAMED)
def test_the_name_is_spliced_and_nothing_else(before: bytes, after: bytes) -> None:
    stream = CODEC.native_stream(view(rename_to="new", include_usage=True))
    for _ in range(3):  # the second time goes the quick way
        assert stream.feed(b"data: " + before + b"\n\n") == b"data: " + after + b"\n\n"


def test_frames_that_begin_otherwise_are_renamed_too() -> None:
    stream = CODEC.native_stream(view(rename_to="new", include_usage=True))
    for model in ("m", "m-2", "m", "", "n" * 100):
        sent = b'data: {"id":"1","model":"' + model.encode() + b'","choices":[]}\r\n\r\n'
        assert stream.feed(sent) == b'data: {"id":"1","model":"new","choices":[]}\r\n\r\n'


def test_usage_beside_content_passes_as_it_is() -> None:
    last = chunk(finish="stop", usage=usage(3, 2))
    stream = CODEC.native_stream(view(rename_to=None, include_usage=False))
    assert stream.feed(last) == last
    assert stream.usage == Usage(3, 2)


def test_everything_the_model_said_is_counted_in_characters() -> None:
    stream = CODEC.native_stream(view(rename_to=None, include_usage=True))
    stream.feed(chunk({"role": "assistant", "content": "世界", "reasoning_content": "abc", "refusal": "x"}))
    stream.feed(calls({"index": 0, "id": "a", "function": {"name": "f", "arguments": "12345"}}))
    stream.feed(calls({"index": 1, "id": "b", "custom": {"name": "g", "input": "67"}}))
    assert stream.delivered_chars == 2 + 3 + 1 + 5 + 2


@pytest.mark.parametrize("length", [(1 << 20) - 8, (1 << 20) - 7])
def test_a_line_over_the_cap_breaks_the_stream(length: int) -> None:
    long = b"data: " + b" " * (length - 2) + b"{}"
    assert len(long) == length + 6
    stream = CODEC.native_stream(view(rename_to=None, include_usage=True))
    if length + 8 <= 1 << 20:
        stream.feed(long + b"\n\n")
        return
    with pytest.raises(UpstreamError, match="longer than"):
        stream.feed(long + b"\n\n")


# --- a writer's rules -------------------------------------------------------------------------------------------------

STARTED = Started("c9", "upstream-name", 7, {"openai.chat": {"system_fingerprint": "fp"}})
SAID: list[ChatEvent] = [
    STARTED,
    ReasoningDelta(0, "hm"),
    ReasoningDelta(0, "", signature="opaque"),
    TextDelta(0, "a"),
    TextDelta(1, "b"),
    RefusalDelta(1, "no"),
    ToolCallStarted(0, 0, "t", "f"),
    ToolCallDelta(0, 0, "{}"),
    ExtraDelta(0, "other.dialect", {"delta": {"x": 1}}),
    Finished(0, FinishReason.TOOL_CALLS),
    Finished(1, FinishReason.STOP),
    UsageReported(Usage(5, 4, 3, 0, 2)),
    Ended(),
]


def written(*, include_usage: bool, events: list[ChatEvent] = SAID) -> list[Any]:
    encoder = CODEC.stream_encoder(view(model="public", include_usage=include_usage))
    return frames_of(encoder.encode(events) + encoder.finish())


def test_every_chunk_has_the_same_head() -> None:
    *chunks, done = written(include_usage=True)
    assert done == "[DONE]"
    heads = [{key: value for key, value in chunk.items() if key not in ("choices", "usage")} for chunk in chunks]
    head = {"id": "c9", "object": "chat.completion.chunk", "created": 7, "model": "public", "system_fingerprint": "fp"}
    assert all(found == head for found in heads)


def test_the_role_stands_in_the_first_delta_of_a_choice_only() -> None:
    deltas: dict[int, list[dict[str, Any]]] = {}
    for event in written(include_usage=False)[:-1]:
        [choice] = event["choices"]
        deltas.setdefault(choice["index"], []).append(choice["delta"])
    for found in deltas.values():
        assert found[0]["role"] == "assistant"
        assert all("role" not in delta for delta in found[1:])


def test_usage_comes_last_and_only_if_asked() -> None:
    *chunks, last, _ = written(include_usage=True)
    assert all(chunk["usage"] is None and chunk["choices"] for chunk in chunks)
    assert last["choices"] == []
    assert last["usage"] == {
        "prompt_tokens": 5,
        "completion_tokens": 4,
        "total_tokens": 9,
        "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    assert all("usage" not in chunk for chunk in written(include_usage=False)[:-1])


def test_usage_that_nobody_reported_is_not_invented() -> None:
    events: list[ChatEvent] = [event for event in SAID if not isinstance(event, UsageReported)]
    assert all(chunk["choices"] for chunk in written(include_usage=True, events=events)[:-1])


def test_one_finish_per_choice_and_all_that_was_said() -> None:
    encoder = CODEC.stream_encoder(view(model="public", include_usage=True))
    seen = observe_stream(encoder.encode(SAID) + encoder.finish())
    assert (seen.text, seen.reasoning, seen.refusal) == ("ab", "hm", "no")
    assert seen.finish == {0: "tool_calls", 1: "stop"}
    assert seen.tool_calls == [["t", "f", "{}"]]
    reasons = [event["choices"][0]["finish_reason"] for event in written(include_usage=False)[:-1]]
    assert [reason for reason in reasons if reason] == ["tool_calls", "stop"]


def test_the_terminal_event_waits_for_finish() -> None:
    encoder = CODEC.stream_encoder(view(model="public", include_usage=True))
    assert b"[DONE]" not in encoder.encode(SAID)


def test_extras_travel_with_the_chunk_they_came_in() -> None:
    logprobs = {"content": [{"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}], "refusal": None}
    choice = {"index": 0, "delta": {"content": "a", "vendor": 1}, "logprobs": logprobs, "finish_reason": None}
    first = frame({"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]})
    encoder = CODEC.stream_encoder(view(model="m", include_usage=False))
    out = through_translation(CODEC.stream_decoder(), encoder, [first + chunk(finish="stop") + DONE])
    event = frames_of(out)[0]["choices"][0]
    assert event["logprobs"] == logprobs
    assert event["delta"] == {"role": "assistant", "content": "a", "vendor": 1}

"""Streamed answers of Gemini, in events and in arrays: any split is the same, both lanes agree, and ends are
truthful."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayhub.dialects.codec import ClientView, Framing
from relayhub.dialects.gemini_generate import GeminiGenerate
from relayhub.dialects.openai_chat import OpenAIChat
from relayhub.dialects.signatures import mark_base64
from relayhub.types.chat import (
    ChatEvent,
    ChatRequest,
    Ended,
    Finished,
    FinishReason,
    ImageDelta,
    ImageForm,
    ImagePart,
    Media,
    Reasoning,
    ReasoningDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)
from relayhub.types.errors import ErrorKind, UpstreamError
from relayhub.types.usage import Usage
from tests.dialects.observed import (
    FIXTURES,
    Fixture,
    fixtures,
    observe_stream,
    splits,
    through_native,
    through_translation,
)
from tests.dialects.views import envelope
from tests.dialects.views import view as chat_view

CODEC = GeminiGenerate()
STREAMS = [fixture for fixture in fixtures("gemini") if fixture.streamed]
GOOD = [fixture for fixture in STREAMS if "error" not in fixture.expect]
ARRAY = (FIXTURES / "gemini" / "stream_text.array.json").read_bytes()
SHOWING = ChatRequest("gemini.generate", "m", (), reasoning=Reasoning(include=True))
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAEElEQVR42mP4z8AARAwQCgAf7gP9Y167WwAAAABJRU5ErkJggg=="


def view(framing: Framing = Framing.SSE, *, model: str = "m", choices: int = 1, **fields: Any) -> ClientView:
    return ClientView(envelope("m", framing=framing, choices=choices), model, "m", **{"request": SHOWING, **fields})


def chunk(*parts: Any, finish: str | None = None, index: int = 0, **extra: Any) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": list(parts), "role": "model"}, "index": index}
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "modelVersion": "m", "responseId": "r1", **extra}


def sse(*chunks: Any) -> bytes:
    return b"".join(b"data: " + orjson.dumps(value) + b"\r\n\r\n" for value in chunks)


def array(*chunks: Any) -> bytes:
    return b"[" + b"\r\n,\r\n".join(json.dumps(value, indent=2).encode() for value in chunks) + b"\r\n]\r\n"


USAGE = {"promptTokenCount": 5, "candidatesTokenCount": 2, "totalTokenCount": 7}
STOP = chunk({"text": ""}, finish="STOP", usageMetadata=USAGE)


def events_of(*chunks: Any) -> list[ChatEvent]:
    decoder = CODEC.stream_decoder()
    return [*decoder.feed(sse(*chunks)), *decoder.close()]


def native(body: bytes, asked: ClientView | None = None, pieces: Sequence[bytes] | None = None) -> bytes:
    return through_native(CODEC.native_stream(asked or view()), pieces or [body])


def translated(body: bytes, asked: ClientView | None = None, pieces: Sequence[bytes] | None = None) -> bytes:
    return through_translation(CODEC.stream_decoder(), CODEC.stream_encoder(asked or view()), pieces or [body])


def chunks_of(stream: bytes, framing: Framing = Framing.SSE) -> list[Any]:
    """As a strict reader takes it: nothing but ``data: `` lines, or one JSON array."""
    if framing is Framing.ARRAY:
        value = json.loads(stream)
        assert isinstance(value, list)
        return value
    lines = stream.decode().split("\r\n")
    assert all(not line or line.startswith("data: {") for line in lines)
    return [json.loads(line[6:]) for line in lines if line]


def observed(chunks: list[Any]) -> dict[str, Any]:
    parts = [
        part for value in chunks for c in value.get("candidates", ()) for part in c.get("content", {}).get("parts", ())
    ]
    return {
        "text": "".join(part["text"] for part in parts if "text" in part and not part.get("thought")),
        "reasoning": "".join(part["text"] for part in parts if part.get("thought")),
        "calls": [
            (part["functionCall"]["name"], part["functionCall"].get("args")) for part in parts if "functionCall" in part
        ],
        "signatures": [part["thoughtSignature"] for part in parts if "thoughtSignature" in part],
        "finish": [c["finishReason"] for value in chunks for c in value.get("candidates", ()) if "finishReason" in c],
        "usage": chunks[-1]["usageMetadata"]["totalTokenCount"],
    }


@pytest.mark.parametrize("fixture", GOOD, ids=lambda fixture: fixture.id)
@pytest.mark.parametrize("framing", Framing)
def test_both_lanes_show_what_the_fixture_expects(fixture: Fixture, framing: Framing) -> None:
    expect = fixture.expect
    for written in (native(fixture.response, view(framing)), translated(fixture.response, view(framing))):
        seen = observed(chunks_of(written, framing))
        assert (seen["text"], seen["reasoning"]) == (expect["text"], expect.get("reasoning", ""))
        assert seen["calls"] == [(call["name"], call["arguments"]) for call in expect.get("tool_calls", ())]
        assert seen["finish"] == [expect["finish"]]
        assert seen["usage"] == expect["usage"]["input"] + expect["usage"]["output"]
        assert len(seen["signatures"]) == (fixture.response.count(b"thoughtSignature"))


@pytest.mark.parametrize("fixture", GOOD, ids=lambda fixture: fixture.id)
def test_usage_is_the_upstreams_whatever_the_client_speaks(fixture: Fixture) -> None:
    usage = fixture.expect["usage"]
    stream = CODEC.native_stream(view())
    through_native(stream, [fixture.response])
    expected = Usage(usage["input"], usage["output"], usage["cached"], reasoning_tokens=usage.get("reasoning", 0))
    assert stream.usage == expected
    chat = through_translation(
        CODEC.stream_decoder(), OpenAIChat().stream_encoder(chat_view(include_usage=True)), [fixture.response]
    )
    seen = observe_stream(chat)
    assert seen.usage is not None
    assert (seen.usage["prompt_tokens"], seen.usage["completion_tokens"]) == (usage["input"], usage["output"])
    assert seen.finish == {0: "tool_calls" if fixture.expect.get("tool_calls") else "stop"}


@pytest.mark.parametrize("fixture", STREAMS, ids=lambda fixture: fixture.id)
def test_events_pass_untouched(fixture: Fixture) -> None:
    if "error" in fixture.expect:
        with pytest.raises(UpstreamError):
            native(fixture.response)
    else:
        assert native(fixture.response) == fixture.response


def test_an_array_passes_untouched() -> None:
    stripped = ARRAY.strip()
    assert native(ARRAY, view(Framing.ARRAY)).rstrip(b"]\r\n") == stripped.rstrip(b"]\r\n")
    assert json.loads(native(ARRAY, view(Framing.ARRAY))) == json.loads(ARRAY)


def partial(run: Any, *args: Any) -> tuple[bytes, str | None]:
    try:
        return run(*args), None
    except UpstreamError as error:
        return getattr(error, "partial", b""), error.code


@pytest.mark.parametrize("body", [STREAMS[0].response, STREAMS[-1].response, ARRAY], ids=["text", "error", "array"])
@pytest.mark.parametrize("framing", Framing)
def test_any_split_gives_the_same(body: bytes, framing: Framing) -> None:
    whole = [partial(run, body, view(framing)) for run in (native, translated)]
    for pieces in splits(body):
        assert [partial(run, body, view(framing), pieces) for run in (native, translated)] == whole


texts = st.text(max_size=8)
parts = st.one_of(
    texts.map(lambda text: {"text": text}),
    texts.map(lambda text: {"text": text, "thought": True}),
    st.just({"text": "", "thoughtSignature": "c2ln"}),
    st.dictionaries(texts, texts | st.integers(0, 9), max_size=2).map(
        lambda args: {"functionCall": {"name": "f", "args": args}}
    ),
    st.just({"inlineData": {"mimeType": "image/png", "data": PNG}}),
)


@given(st.lists(st.lists(parts, max_size=3), max_size=4), st.booleans(), st.sampled_from(list(Framing)), st.data())
def test_any_answer_in_any_pieces(answers: list[Any], as_array: bool, framing: Framing, data: st.DataObject) -> None:
    chunks = [*(chunk(*answer) for answer in answers), STOP]
    body = array(*chunks) if as_array else sse(*chunks)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=6)))
    pieces = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    passed, written = native(body, view(framing), pieces), translated(body, view(framing), pieces)
    assert (passed, written) == (native(body, view(framing)), translated(body, view(framing)))
    assert chunks_of(passed, framing) == chunks
    one, two = observed(chunks_of(passed, framing)), observed(chunks_of(written, framing))
    assert one == two
    if not as_array and framing is Framing.SSE:
        assert passed == body


@pytest.mark.parametrize("framing", Framing)
@pytest.mark.parametrize("run", [native, translated])
def test_the_last_chunk_waits_for_the_settlement(run: Any, framing: Framing) -> None:
    body = sse(chunk({"text": "a"}), STOP)
    if run is native:
        stream = CODEC.native_stream(view(framing))
        early = stream.feed(body)
        last = stream.finish()
    else:
        decoder, encoder = CODEC.stream_decoder(), CODEC.stream_encoder(view(framing))
        early = encoder.encode(decoder.feed(body)) + encoder.encode(decoder.close())
        last = encoder.finish()
    assert b"finishReason" not in early
    assert b'"a"' in early
    assert b"finishReason" in last
    chunks_of(early + last, framing)


def test_several_candidates_end_together() -> None:
    chunks = [
        chunk({"text": "a"}, index=0),
        chunk({"text": "b"}, index=1, finish="STOP"),
        chunk({"text": "c"}, index=0, finish="MAX_TOKENS", usageMetadata=USAGE),
    ]
    stream = CODEC.native_stream(view(choices=2))
    assert stream.feed(sse(*chunks)) == sse(*chunks[:2])
    assert stream.finish() == sse(chunks[2])
    ends = {event.choice: event.reason for event in events_of(*chunks) if isinstance(event, Finished)}
    assert ends == {0: FinishReason.LENGTH, 1: FinishReason.STOP}


# --- truthful ends ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("run", [native, translated])
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "upstream_invalid_response"),
        (sse(chunk({"text": "a"})), "upstream_truncated"),
        (sse(chunk({"text": "a"}))[:-9], "upstream_invalid_response"),
        (array(chunk({"text": "a"})), "upstream_truncated"),
        (array(chunk({"text": "a"}), STOP)[:-40], "upstream_truncated"),
        (b"<html>", "upstream_invalid_response"),
        (b"[]", "upstream_invalid_response"),
        (b'{"error":{"code":503,"message":"m","status":"UNAVAILABLE"}}', "upstream_overloaded"),
        (b'[{"error":{"code":503,"message":"m","status":"UNAVAILABLE"}}]', "upstream_overloaded"),
        (b'[{\n"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED"}}\n]', "upstream_rate_limited"),
        (sse(chunk({"text": "a"}), {"error": {"code": 500, "status": "INTERNAL"}}), "upstream_error"),
        (sse(STOP, {"error": {"code": 500, "status": "INTERNAL"}}), "upstream_error"),
    ],
)
def test_what_does_not_end_well_is_an_error(body: bytes, code: str, run: Any) -> None:
    with pytest.raises(UpstreamError) as caught:
        run(body)
    assert caught.value.code == code
    assert (caught.value.delivered, caught.value.retryable) == (True, False)


def test_an_error_that_follows_good_chunks_does_not_swallow_them() -> None:
    body = sse(chunk({"text": "a"}), {"error": {"code": 503, "status": "UNAVAILABLE"}})
    stream = CODEC.native_stream(view())
    assert stream.feed(body) == sse(chunk({"text": "a"}))
    assert stream.ended
    with pytest.raises(UpstreamError) as caught:
        stream.finish()
    assert caught.value.kind is ErrorKind.UPSTREAM_OVERLOADED


def test_what_clients_break_on_is_left_out_or_written_anew() -> None:
    said = orjson.dumps(chunk({"text": "a"}))
    last = orjson.dumps(STOP)
    body = (
        b"\xef\xbb\xbf: ping\n\nevent: x\ndata:"
        + said
        + b"\n\ndata: {broken\n\ndata: "
        + last
        + b"\n\ndata: [DONE]\n\n"
    )
    assert native(body) == b"data: " + said + b"\r\n\r\ndata: " + last + b"\n\n"


def test_a_pretty_printed_event_becomes_one_line() -> None:
    lines = json.dumps(STOP, indent=1).replace("\n", "\ndata: ")
    written = native(f"data: {lines}\n\n".encode())
    assert written.count(b"\n") == 2
    assert chunks_of(written) == [STOP]


def test_a_last_event_without_its_blank_line_counts() -> None:
    assert native(sse(STOP)[:-4]) == sse(STOP)
    assert native(sse(STOP).rstrip(), view(Framing.ARRAY)) == b"[" + orjson.dumps(STOP) + b"\r\n]"


def test_usage_after_the_end_is_read_and_kept_behind_it() -> None:
    late = {"usageMetadata": {**USAGE, "candidatesTokenCount": 9, "totalTokenCount": 14}, "modelVersion": "m"}
    end = chunk({"text": "a"}, finish="STOP")
    stream = CODEC.native_stream(view())
    assert stream.feed(sse(end, late)) == b""
    assert stream.finish() == sse(end, late)
    assert stream.usage == Usage(5, 9)
    assert UsageReported(Usage(5, 9)) in events_of(end, late)


def test_an_array_ends_with_its_bracket_though_the_connection_stays() -> None:
    stream = CODEC.native_stream(view(Framing.ARRAY))
    stream.feed(array(STOP).rstrip())
    assert stream.ended


def test_characters_are_counted_for_an_estimate() -> None:
    stream = CODEC.native_stream(view())
    stream.feed(
        sse(chunk({"text": "abc"}, {"text": "de", "thought": True}, {"functionCall": {"name": "f", "args": {"a": 1}}}))
    )
    assert stream.delivered_chars == 5 + len('{"a":1}')
    assert (stream.started, stream.ended) == (True, False)


def test_only_the_models_name_is_replaced() -> None:
    body = sse(chunk({"text": "modelVersion"}), STOP)
    renamed = ClientView(envelope("public"), "public", "m")
    assert through_native(CODEC.native_stream(renamed), [body]) == body.replace(
        b'"modelVersion":"m"', b'"modelVersion":"public"'
    )


# --- events -----------------------------------------------------------------------------------------------------------


def test_calls_get_ids_that_are_stable_and_distinct() -> None:
    call = {"functionCall": {"name": "f", "args": {"a": 1}}}
    same = {"functionCall": {"id": "x", "name": "f"}}
    first, second = (
        [
            event.id
            for event in events_of(chunk(call, call, same), chunk(same), STOP)
            if isinstance(event, ToolCallStarted)
        ]
        for _ in range(2)
    )
    assert first == second
    assert len(set(first)) == 4
    assert first[2] == "x"
    nameless = {**chunk(call, finish="STOP"), "responseId": None}
    assert events_of(nameless)[1] != events_of(nameless)[1]  # nothing tells two such answers apart


def test_a_call_ends_with_the_tool_reason_in_whatever_chunk_the_end_comes() -> None:
    call = {"functionCall": {"id": "x", "name": "f", "args": {"a": 1}}, "thoughtSignature": "c2ln"}
    events = events_of(chunk(call), STOP)
    assert events == [
        Started("r1", "m", 0, {"gemini.generate": {}}),
        ToolCallStarted(0, 0, "x", "f", False, "c2ln", "gemini.generate"),
        ToolCallDelta(0, 0, '{"a":1}'),
        Finished(0, FinishReason.TOOL_CALLS),
        UsageReported(Usage(5, 2)),
        Ended(),
    ]


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("MAX_TOKENS", FinishReason.LENGTH),
        ("CONTINUATION", FinishReason.LENGTH),
        ("SAFETY", FinishReason.CONTENT_FILTER),
        ("IMAGE_SAFETY", FinishReason.CONTENT_FILTER),
        ("MODEL_ARMOR", FinishReason.CONTENT_FILTER),
        ("MALFORMED_FUNCTION_CALL", FinishReason.STOP),
        ("OTHER", FinishReason.STOP),
        ("SOMETHING_NEW", FinishReason.STOP),
    ],
)
def test_finish_reasons(word: str, reason: FinishReason) -> None:
    native_word = None if word in ("MAX_TOKENS", "SAFETY") else word
    assert Finished(0, reason, native_finish=native_word) in events_of(chunk({"text": "a"}, finish=word))
    assert chunks_of(translated(sse(chunk({"text": "a"}, finish=word))))[-1]["candidates"][0]["finishReason"] == word


@pytest.mark.parametrize(
    "word", ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "MISSING_THOUGHT_SIGNATURE", "OTHER"]
)
def test_an_answer_that_failed_before_it_said_anything_is_an_error(word: str) -> None:
    with pytest.raises(UpstreamError) as caught:
        events_of(chunk(finish=word))
    assert (caught.value.kind, caught.value.code) == (ErrorKind.UPSTREAM_FAILED, "upstream_no_answer")
    assert word in caught.value.message


def test_a_cut_call_is_not_runnable() -> None:
    call = {"functionCall": {"name": "f", "args": {}}}
    assert Finished(0, FinishReason.LENGTH) in events_of(chunk(call, finish="MAX_TOKENS"))


def test_a_blocked_prompt_is_an_empty_filtered_answer() -> None:
    blocked = {
        "promptFeedback": {"blockReason": "SAFETY"},
        "usageMetadata": {"promptTokenCount": 4, "totalTokenCount": 4},
    }
    events = events_of(blocked)
    assert Finished(0, FinishReason.CONTENT_FILTER) in events
    assert not any(isinstance(event, TextDelta) for event in events)
    assert native(sse(blocked)) == sse(blocked)


# --- writing for clients ----------------------------------------------------------------------------------------------


def written(*events: ChatEvent, asked: ClientView | None = None) -> list[Any]:
    encoder = CODEC.stream_encoder(asked or view())
    end = () if any(isinstance(event, Finished) for event in events) else (Finished(0, FinishReason.STOP),)
    return chunks_of(encoder.encode([Started("", "m", 0), *events, *end]) + encoder.finish())


def parts_of(chunks: list[Any]) -> list[Any]:
    return [part for value in chunks[:-1] for part in value["candidates"][0]["content"]["parts"]]


def test_calls_are_whole_and_in_order_however_they_come() -> None:
    chunks = written(
        ToolCallStarted(0, 0, "a", "f"),
        ToolCallDelta(0, 0, '{"x"'),
        ToolCallStarted(0, 1, "b", "g"),
        ToolCallDelta(0, 0, ":1}"),
        Finished(0, FinishReason.TOOL_CALLS),
    )
    assert parts_of(chunks) == [
        {"functionCall": {"id": "a", "name": "f", "args": {"x": 1}}},
        {"functionCall": {"id": "b", "name": "g", "args": {}}},
    ]
    assert chunks[-1]["candidates"][0]["finishReason"] == "STOP"


def test_calls_do_not_wait_for_the_settlement() -> None:
    encoder = CODEC.stream_encoder(view())
    events = (ToolCallStarted(0, 0, "a", "f"), Finished(0, FinishReason.TOOL_CALLS))
    assert b"functionCall" in encoder.encode(events)
    assert b"functionCall" not in encoder.finish()


def test_a_call_that_is_no_object_is_an_error_unless_it_was_cut() -> None:
    events = (ToolCallStarted(0, 0, "a", "f"), ToolCallDelta(0, 0, '{"x"'))
    assert parts_of(written(*events, Finished(0, FinishReason.LENGTH))) == []
    with pytest.raises(UpstreamError):
        written(*events)


THOUGHTS = (
    ReasoningDelta(0, "I think"),
    ReasoningDelta(0, "", "sig", signer="anthropic.messages"),
    TextDelta(0, "a"),
)


def test_thoughts_are_shown_where_they_are_asked_for_with_marked_signatures() -> None:
    assert parts_of(written(*THOUGHTS)) == [
        {"text": "I think", "thought": True},
        {"text": "", "thought": True, "thoughtSignature": mark_base64("anthropic.messages", "sig")},
        {"text": "a"},
    ]
    assert parts_of(written(*THOUGHTS, asked=view(request=None))) == [{"text": "a"}]


def test_signatures_of_calls_are_delivered_to_everybody_marked_if_foreign() -> None:
    calls = (
        ToolCallStarted(0, 0, "a", "f", False, "c2ln", "gemini.generate"),
        ToolCallStarted(0, 1, "b", "g", False, "c2ln", "openai.chat"),
    )
    shown = parts_of(written(*calls, asked=view(request=None)))
    assert [part["thoughtSignature"] for part in shown] == ["c2ln", mark_base64("openai.chat", "c2ln")]


@pytest.mark.parametrize(
    ("form", "keys"),
    [(ImageForm.INLINE, ["inlineData"]), (ImageForm.TEXT, ["text"]), (ImageForm.BOTH, ["text", "inlineData"])],
)
def test_images_in_the_form_of_the_model_in_both_lanes(form: ImageForm, keys: list[str]) -> None:
    inline = {"inlineData": {"mimeType": "image/png", "data": PNG}}
    image = ImageDelta(0, ImagePart(Media(data=PNG, media_type="image/png")))
    by_events = parts_of(written(image, asked=view(image_form=form)))
    by_bytes = parts_of(chunks_of(native(sse(chunk(inline), STOP), view(image_form=form))))
    assert by_events == by_bytes
    assert [key for part in by_events for key in part] == keys
    assert all(part.get("text", PNG) == PNG for part in by_events)


def test_drafts_stay_as_they_are() -> None:
    draft = {"inlineData": {"mimeType": "image/png", "data": PNG}, "thought": True}
    assert parts_of(chunks_of(native(sse(chunk(draft), STOP), view(image_form=ImageForm.TEXT)))) == [draft]
    assert not any(isinstance(event, ImageDelta) for event in events_of(chunk(draft), STOP))


def test_every_chunk_has_content_model_and_identity() -> None:
    chunks = written(TextDelta(0, "a"), UsageReported(Usage(5, 2, 1, 0, 1)), asked=view(model="public", call_id="c1"))
    assert all(value["candidates"][0]["content"]["parts"] for value in chunks)
    assert {(value["modelVersion"], value["responseId"]) for value in chunks} == {("public", "c1")}
    assert chunks[-1]["usageMetadata"] == {
        "promptTokenCount": 5,
        "candidatesTokenCount": 1,
        "totalTokenCount": 7,
        "cachedContentTokenCount": 1,
        "thoughtsTokenCount": 1,
    }


def test_chat_clients_get_everything_of_a_signed_tool_turn() -> None:
    [fixture] = [fixture for fixture in GOOD if fixture.id == "stream_tools"]
    chat = through_translation(CODEC.stream_decoder(), OpenAIChat().stream_encoder(chat_view()), [fixture.response])
    seen = observe_stream(chat)
    assert [[id_, name] for id_, name, _ in seen.tool_calls] == [["fcid_w1", "get_weather"], ["fcid_t1", "get_time"]]
    assert fixture.expect["thought_signatures"][0].encode() in chat

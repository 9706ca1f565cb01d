"""Streams of Responses: the events that clients are told by, and what becomes of an upstream's."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayhub.dialects.openai_responses import OpenAIResponses
from relayhub.types.chat import (
    ChatEvent,
    ChatRequest,
    Ended,
    Finished,
    FinishReason,
    ImageDelta,
    ImagePart,
    Media,
    Message,
    Reasoning,
    ReasoningDelta,
    RefusalDelta,
    Role,
    Started,
    TextDelta,
    TextPart,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)
from relayhub.types.errors import ErrorKind, UpstreamError
from relayhub.types.usage import Usage
from tests.dialects.codecs import read_stream, told_by
from tests.dialects.observed import frames_of, splits
from tests.dialects.views import envelope, view

CODEC = OpenAIResponses()
START = Started("up", "m", 7)
ASKED = ChatRequest(
    "openai.responses",
    "m",
    (Message(Role.USER, (TextPart("hi"),)),),
    reasoning=Reasoning("low", include=True),
    extras={"openai.responses": {"include": ["reasoning.encrypted_content"]}},
)


def encoded(events: Iterable[ChatEvent], request: ChatRequest | None = ASKED) -> bytes:
    encoder = CODEC.stream_encoder(view(model="public", call_id="c1", created=5, request=request))
    return encoder.encode(events) + encoder.finish()


def written(*events: ChatEvent, request: ChatRequest | None = ASKED) -> list[Any]:
    return frames_of(encoded(events, request))


class Reader:
    """A client that holds every event against the rules, and puts the answer together from the pieces alone."""

    def __init__(self, frames: Sequence[Any]) -> None:
        assert [frame["sequence_number"] for frame in frames] == list(range(len(frames)))
        kinds = [frame["type"] for frame in frames]
        assert kinds[:2] == ["response.created", "response.in_progress"]
        for frame in frames[:2]:
            begun = frame["response"]
            assert (begun["status"], begun["output"], begun["usage"]) == ("in_progress", [], None)
        self.items: list[Any] = []
        self.open: Any = None
        self.part: Any = None
        for frame in frames[2:-1]:
            self._read(frame)
        assert self.open is None, "an item was never done"
        self.last = frames[-1]
        self.response = self.last["response"]
        assert self.last["type"] == f"response.{self.response['status']}"
        assert self.response["output"] == self.items
        ids = [item["id"] for item in self.items]
        assert len(set(ids)) == len(ids)
        assert frames[0]["response"]["id"] == self.response["id"]

    def _read(self, frame: Any) -> None:
        assert frame["output_index"] == len(self.items)
        match frame["type"].removeprefix("response.").rpartition("."):
            case ("output_item", _, "added"):
                assert self.open is None
                self.open = {"item": frame["item"], "parts": [], "arguments": ""}
            case ("output_item", _, "done"):
                self._item_done(frame["item"])
            case ("content_part" | "reasoning_summary_part", _, "added"):
                self._check(frame)
                assert self.part is None
                assert "".join(frame["part"].get(key, "") for key in ("text", "refusal")) == ""
                self.part = {**frame["part"], "told": ""}
            case ("content_part" | "reasoning_summary_part", _, "done"):
                self._part_done(frame)
            case ("output_text" | "refusal" | "reasoning_summary_text", _, step):
                self._check(frame)
                self._told(frame, step)
            case ("function_call_arguments" | "custom_tool_call_input", _, step):
                self._check(frame)
                self._argued(frame, step)
            case other:
                raise AssertionError(other)

    def _check(self, frame: Any) -> None:
        assert frame["item_id"] == self.open["item"]["id"]
        number = frame.get("content_index", frame.get("summary_index"))
        assert number in (None, len(self.open["parts"]))

    def _told(self, frame: Any, step: str) -> None:
        if step == "delta":
            assert frame["delta"], "empty deltas are noise"
            self.part["told"] += frame["delta"]
        else:
            assert frame.get("text", frame.get("refusal")) == self.part["told"]

    def _argued(self, frame: Any, step: str) -> None:
        if step == "delta":
            self.open["arguments"] += frame["delta"]
        else:
            assert frame.get("arguments", frame.get("input")) == (self.open["arguments"] or "{}")

    def _part_done(self, frame: Any) -> None:
        self._check(frame)
        told = self.part.pop("told")
        assert frame["part"] == {**self.part, ("refusal" if self.part["type"] == "refusal" else "text"): told}
        self.open["parts"].append(frame["part"])
        self.part = None

    def _item_done(self, item: Any) -> None:
        begun = self.open["item"]
        assert (item["id"], item["type"]) == (begun["id"], begun["type"])
        assert begun.get("status", "in_progress") == "in_progress"
        assert item.get("content", item.get("summary", [])) == self.open["parts"]
        assert self.part is None
        self.items.append(item)
        self.open = None


def test_items_are_opened_told_and_closed_one_after_the_other() -> None:
    read = Reader(
        written(
            START,
            ReasoningDelta(0, "h", signer="anthropic.messages"),
            ReasoningDelta(0, "m", signature="S", signer="anthropic.messages"),
            TextDelta(0, "a"),
            TextDelta(0, ""),
            TextDelta(0, "b"),
            RefusalDelta(0, "no"),
            ToolCallStarted(0, 0, "call_1", "f"),
            ToolCallDelta(0, 0, '{"x":'),
            ToolCallDelta(0, 0, "1}"),
            TextDelta(0, "after"),
            Finished(0, FinishReason.TOOL_CALLS),
            UsageReported(Usage(100, 20, 60, 10, 5)),
            Ended(),
        )
    )
    thought, message, call, after = read.items
    assert thought["encrypted_content"] == "rh1:anthropic.messages:S"
    assert thought["summary"] == [{"type": "summary_text", "text": "hm"}]
    assert [part.get("text", part.get("refusal")) for part in message["content"]] == ["ab", "no"]
    assert (call["call_id"], call["name"], call["arguments"], call["status"]) == ("call_1", "f", '{"x":1}', "completed")
    assert after["content"][0]["text"] == "after"
    assert [item["id"].partition("_")[0] for item in read.items] == ["rs", "msg", "fc", "msg"]
    response = read.response
    assert (response["status"], response["error"], response["incomplete_details"]) == ("completed", None, None)
    assert (response["model"], response["created_at"], response["id"]) == ("public", 7, "resp_c1")
    assert response["usage"] == {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 10},
        "output_tokens": 20,
        "output_tokens_details": {"reasoning_tokens": 5},
        "total_tokens": 120,
    }


def test_every_frame_bears_its_events_name() -> None:
    for frame in encoded([START, TextDelta(0, "x")]).decode().strip().split("\n\n"):
        name, data = frame.split("\n")
        assert name == f"event: {json.loads(data.removeprefix('data: '))['type']}"


TEXT = st.text(max_size=3)
SAID = st.one_of(
    st.builds(TextDelta, st.just(0), TEXT),
    st.builds(RefusalDelta, st.just(0), TEXT),
    st.builds(ReasoningDelta, st.just(0), TEXT, st.sampled_from([None, "S"]), signer=st.just("gemini.generate")),
    st.just(ImageDelta(0, ImagePart(Media(data="AA==", media_type="image/png")))),
    st.just("call"),
)


def with_calls(said: Iterable[Any], *, custom: bool) -> list[ChatEvent]:
    """Each ``call`` is a tool call in two pieces."""
    events: list[ChatEvent] = [START]
    number = itertools.count()
    for one in said:
        if one != "call":
            events.append(one)
            continue
        index = next(number)
        pieces = (ToolCallDelta(0, index, "{"), ToolCallDelta(0, index, "}"))
        events += [ToolCallStarted(0, index, f"c{index}", "f", custom), *pieces]
    return events


@given(st.lists(SAID, max_size=8), st.booleans(), st.sampled_from([FinishReason.STOP, FinishReason.LENGTH]))
def test_whatever_is_said_the_rules_hold_and_nothing_is_lost(said: list[Any], custom: bool, end: FinishReason) -> None:
    events = [*with_calls(said, custom=custom), Finished(0, end), Ended()]
    body = encoded(events)
    read = Reader(frames_of(body))
    told, again = told_by(events), told_by(read_stream(CODEC, [body]))
    assert (again.text, again.refusal, again.images) == (told.text, told.refusal, told.images)
    assert [call[:3] for call in again.calls] == [call[:3] for call in told.calls]
    assert read.response["status"] == ("incomplete" if end is FinishReason.LENGTH else "completed")


@given(st.lists(st.integers(0, 2), max_size=12))
def test_calls_whose_pieces_are_mixed_come_out_one_after_the_other(order: list[int]) -> None:
    starts = [ToolCallStarted(0, index, f"c{index}", f"f{index}") for index in range(3)]
    pieces = [ToolCallDelta(0, index, str(at)) for at, index in enumerate(order)]
    read = Reader(written(START, *starts, *pieces, Finished(0, FinishReason.TOOL_CALLS)))
    assert [(item["call_id"], item["arguments"]) for item in read.items] == [
        (f"c{index}", "".join(str(at) for at, other in enumerate(order) if other == index) or "{}")
        for index in range(3)
    ]


@pytest.mark.parametrize(
    ("reason", "cause"),
    [(FinishReason.LENGTH, "max_output_tokens"), (FinishReason.CONTENT_FILTER, "content_filter")],
)
@pytest.mark.parametrize("last", [TextDelta(0, "One, t"), ToolCallStarted(0, 0, "c", "f")])
def test_an_answer_that_was_cut_is_incomplete_and_so_is_its_last_item(
    last: ChatEvent, reason: FinishReason, cause: str
) -> None:
    read = Reader(written(START, TextDelta(0, "done"), ReasoningDelta(0, "hm"), last, Finished(0, reason), Ended()))
    assert read.last["type"] == "response.incomplete"
    assert read.response["incomplete_details"] == {"reason": cause}
    assert [item.get("status") for item in read.items] == ["completed", None, "incomplete"]


def test_thinking_is_shown_only_to_those_who_asked() -> None:
    thinking = ReasoningDelta(0, "hm", signature="S", signer="gemini.generate")
    read = Reader(written(START, thinking, TextDelta(0, "x"), request=None))
    assert [item["type"] for item in read.items] == ["message"]


def test_an_empty_answer_has_no_items() -> None:
    assert Reader(written(START, TextDelta(0, ""), Finished(0, FinishReason.STOP))).items == []


def test_nothing_is_terminal_before_the_settlement() -> None:
    encoder = CODEC.stream_encoder(view(request=ASKED))
    said = encoder.encode([START, TextDelta(0, "x"), Finished(0, FinishReason.STOP), Ended()])
    assert all(frame["type"] != "response.completed" for frame in frames_of(said))
    assert [frame["type"] for frame in frames_of(encoder.finish())] == ["response.completed"]


def test_a_stream_that_fails_ends_with_a_failed_response() -> None:
    error = UpstreamError(ErrorKind.UPSTREAM_FAILED, "It broke.", code="c", retryable=True, delivered=True)
    (event,) = frames_of(CODEC.encode_error_event(error, "req_1", envelope("public")))
    response = event["response"]
    assert event["type"] == "response.failed"
    assert (response["status"], response["model"], response["output"]) == ("failed", "public", [])
    assert response["error"] == {"code": "c", "message": "It broke."}


# --- what an upstream streams -----------------------------------------------------------------------------------------

BEGUN = {"id": "resp_1", "created_at": 1, "model": "up", "status": "in_progress", "output": []}
USAGE = {"input_tokens": 5, "output_tokens": 3, "input_tokens_details": {"cached_tokens": 2}}
MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Héllo"}]}
CALL = {"id": "fc_1", "type": "function_call", "call_id": "c", "name": "f", "arguments": '{"x":1}'}
SEALED = {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "E"}


def sse(*events: Any, end: str = "\n") -> bytes:
    lines = (f"event: {e['type']}{end}data: {json.dumps(e, ensure_ascii=False)}{end}{end}" for e in events)
    return "".join(lines).encode()


def created() -> dict[str, Any]:
    return {"type": "response.created", "response": BEGUN}


def ended(status: str = "completed", **more: Any) -> dict[str, Any]:
    return {"type": f"response.{status}", "response": {**BEGUN, "status": status, "usage": USAGE, **more}}


def done(index: int, item: Any) -> dict[str, Any]:
    return {"type": "response.output_item.done", "output_index": index, "item": item}


def delta(index: int, kind: str, text: str) -> dict[str, Any]:
    return {"type": f"response.{kind}.delta", "output_index": index, "delta": text}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_any_split_of_the_bytes_gives_the_same_events(end: str) -> None:
    call = {"type": "response.output_item.added", "output_index": 1, "item": {**CALL, "arguments": ""}}
    body = sse(
        created(),
        delta(0, "output_text", "Hé"),
        delta(0, "output_text", "llo"),
        done(0, MESSAGE),
        call,
        delta(1, "function_call_arguments", '{"x":1}'),
        done(1, CALL),
        done(2, SEALED),
        ended(),
        end=end,
    )
    expected = read_stream(CODEC, [body])
    told = told_by(expected)
    assert (told.text, told.calls, told.usage) == ("Héllo", [["c", "f", {"x": 1}, None]], Usage(5, 3, 2))
    assert told.reasoning == [("", "E", None)]
    for pieces in splits(body):
        assert read_stream(CODEC, pieces) == expected


def test_what_is_only_said_when_a_thing_is_done_is_not_lost() -> None:
    for body in (
        sse(created(), done(0, MESSAGE), done(1, CALL), ended()),
        sse(created(), ended(output=[MESSAGE, CALL])),
        sse(ended(output=[MESSAGE, CALL])),
        sse(created(), delta(0, "output_text", "Hé"), done(0, MESSAGE), ended(output=[MESSAGE, CALL])),
    ):
        told = told_by(read_stream(CODEC, [body]))
        assert (told.text, told.calls, told.finish) == ("Héllo", [["c", "f", {"x": 1}, None]], "tool_calls")


@pytest.mark.parametrize(
    ("status", "more", "finish"),
    [
        ("completed", {}, "stop"),
        ("incomplete", {"incomplete_details": {"reason": "max_output_tokens"}}, "length"),
        ("incomplete", {"incomplete_details": {"reason": "content_filter"}}, "content_filter"),
        ("incomplete", {}, "length"),
    ],
)
def test_how_it_ended(status: str, more: dict[str, Any], finish: str) -> None:
    body = sse(created(), done(0, MESSAGE), ended(status, **more))
    told = told_by(read_stream(CODEC, [body]))
    assert (told.finish, told.ended) == (finish, True)


FAILURE = {"code": "server_error", "message": "secret of the upstream"}
FAILURES: list[tuple[Any, ErrorKind]] = [
    (ended("failed", error=FAILURE), ErrorKind.UPSTREAM_FAILED),
    ({"type": "error", "code": "rate_limit_exceeded", "message": "m", "param": None}, ErrorKind.UPSTREAM_RATE_LIMITED),
    ({"type": "error", "error": {"type": "server_error", "message": "m"}}, ErrorKind.UPSTREAM_FAILED),
]


@pytest.mark.parametrize(("event", "kind"), FAILURES)
def test_a_failure_is_an_error_in_both_lanes_after_what_came_before(event: Any, kind: ErrorKind) -> None:
    before = sse(created(), delta(0, "output_text", "Hé"))
    for rest in (sse(event), sse(event, ended())):
        decoder, tap = CODEC.stream_decoder(), CODEC.native_stream(view())
        assert told_by(decoder.feed(before)).text == "Hé"
        assert tap.feed(before) == before
        for broken in (decoder.feed, tap.feed):
            with pytest.raises(UpstreamError) as caught:
                broken(rest)
            assert caught.value.kind is kind


@pytest.mark.parametrize("events", [(), (created(),), (created(), delta(0, "output_text", "Hé"), done(0, MESSAGE))])
def test_a_stream_without_its_end_is_an_error(events: tuple[Any, ...]) -> None:
    decoder, tap = CODEC.stream_decoder(), CODEC.native_stream(view())
    decoder.feed(sse(*events))
    tap.feed(sse(*events))
    with pytest.raises(UpstreamError):
        decoder.close()
    with pytest.raises(UpstreamError):
        tap.finish()


def test_nothing_after_the_end_is_told() -> None:
    body = sse(created(), done(0, MESSAGE), ended(), delta(0, "output_text", "more"), ended())
    events = read_stream(CODEC, [body])
    assert told_by(events).text == "Héllo"
    assert [type(event) for event in events][-1] is Ended
    tap = CODEC.native_stream(view())
    assert b"more" not in tap.feed(body) + tap.finish()


def test_only_the_name_changes_in_the_byte_lane_and_the_end_waits() -> None:
    body = b'event: response.created\ndata: {"type" : "response.created", "response" : {"x":1.50, "model":"up"}}\n\n'
    comment = b": hello\n\n"
    last = sse(ended())
    tap = CODEC.native_stream(view(rename_to="public"))
    assert tap.feed(comment + body) == comment + body.replace(b'"up"', b'"public"')
    assert (tap.feed(last), tap.ended, tap.usage) == (b"", True, Usage(5, 3, 2))
    assert tap.finish() == last.replace(b'"up"', b'"public"')

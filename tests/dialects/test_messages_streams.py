"""Streams for Anthropic clients: blocks one at a time, indices without gaps, the end held back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayhub.dialects.anthropic_messages import AnthropicMessages
from relayhub.types.chat import (
    ChatEvent,
    Ended,
    Finished,
    FinishReason,
    ImageDelta,
    ImagePart,
    Media,
    ReasoningDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)
from relayhub.types.errors import UpstreamError
from relayhub.types.usage import Usage
from tests.dialects.observed import frames_of
from tests.dialects.views import view

CODEC = AnthropicMessages()
START = Started("up", "m", 0)
DELTAS = {"text": "text_delta", "tool_use": "input_json_delta", "thinking": "thinking_delta", "redacted_thinking": None}


def written(*events: ChatEvent) -> list[Any]:
    encoder = CODEC.stream_encoder(view(model="public", call_id="c1", input_estimate=9))
    return frames_of(encoder.encode(events) + encoder.finish())


def check(frames: list[Any]) -> list[Any]:
    """The rules of the protocol; returns the content blocks as a client puts them together."""
    assert frames[0]["type"] == "message_start"
    assert [frame["type"] for frame in frames[-2:]] == ["message_delta", "message_stop"]
    blocks: list[Any] = []
    opened = False
    for frame in frames[1:-2]:
        match frame["type"]:
            case "content_block_start":
                assert not opened
                assert frame["index"] == len(blocks)
                opened = True
                blocks.append(frame["content_block"])
            case "content_block_delta":
                assert opened
                assert frame["index"] == len(blocks) - 1
                _add(blocks[-1], frame["delta"])
            case "content_block_stop":
                assert opened
                assert frame["index"] == len(blocks) - 1
                opened = False
            case kind:
                raise AssertionError(kind)
    assert not opened
    return blocks


def _add(block: Any, delta: Any) -> None:
    match delta["type"]:
        case "signature_delta":
            assert block["type"] == "thinking"
            block["signature"] = delta["signature"]
        case kind:
            assert kind == DELTAS[block["type"]]
            key = {"text_delta": "text", "thinking_delta": "thinking"}.get(kind, "partial_json")
            assert delta[key], "empty deltas are noise"
            block[key] = block.get(key, "") + delta[key]


def test_blocks_follow_each_other_without_gaps() -> None:
    frames = written(
        START,
        ReasoningDelta(0, "hm", signer="anthropic.messages"),
        ReasoningDelta(0, "", signature="S", signer="anthropic.messages"),
        TextDelta(0, "a"),
        TextDelta(0, "b"),
        ToolCallStarted(0, 0, "c.1", "f"),
        ToolCallDelta(0, 0, '{"x":'),
        ToolCallDelta(0, 0, "1}"),
        TextDelta(0, "after"),
        Finished(0, FinishReason.TOOL_CALLS),
        UsageReported(Usage(100, 20, 60, 10, 5)),
        Ended(),
    )
    thinking, text, call, after = check(frames)
    assert thinking == {"type": "thinking", "thinking": "hm", "signature": "S"}
    assert (text["text"], after["text"]) == ("ab", "after")
    assert (call["id"].startswith("rhx_"), call["name"], call["partial_json"]) == (True, "f", '{"x":1}')
    assert frames[0]["message"] | {"usage": None} == {
        "id": "msg_c1",
        "type": "message",
        "role": "assistant",
        "model": "public",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": None,
    }
    assert frames[0]["message"]["usage"]["input_tokens"] == 9
    assert frames[-2]["delta"] == {"stop_reason": "tool_use", "stop_sequence": None}
    assert frames[-2]["usage"] == {
        "input_tokens": 30,
        "cache_creation_input_tokens": 10,
        "cache_read_input_tokens": 60,
        "output_tokens": 20,
        "output_tokens_details": {"thinking_tokens": 5},
    }


@given(st.lists(st.integers(0, 2), max_size=12))
def test_calls_whose_pieces_are_mixed_come_out_one_after_the_other(order: list[int]) -> None:
    starts = [ToolCallStarted(0, index, f"c{index}", f"f{index}") for index in range(3)]
    pieces = [ToolCallDelta(0, index, str(at)) for at, index in enumerate(order)]
    blocks = check(written(START, *starts, *pieces, Finished(0, FinishReason.TOOL_CALLS)))
    assert [(block["id"], block.get("partial_json", "")) for block in blocks] == [
        (f"c{index}", "".join(str(at) for at, other in enumerate(order) if other == index)) for index in range(3)
    ]


def test_a_lone_call_streams_while_it_is_written() -> None:
    encoder = CODEC.stream_encoder(view())
    encoder.encode([START, ToolCallStarted(0, 0, "c", "f")])
    assert b"abc" in encoder.encode([ToolCallDelta(0, 0, "abc")])


def test_a_call_that_goes_on_after_its_end_is_an_error() -> None:
    encoder = CODEC.stream_encoder(view())
    encoder.encode([START, ToolCallStarted(0, 0, "c", "f"), TextDelta(0, "x")])
    with pytest.raises(UpstreamError):
        encoder.encode([ToolCallDelta(0, 0, "{}")])


def test_thinking_of_another_upstream_travels_marked_and_redacted_thinking_is_a_block_of_its_own() -> None:
    blocks = check(
        written(
            START,
            ReasoningDelta(0, "x", signature="G", signer="gemini.generate"),
            ReasoningDelta(0, "", redacted="R", signer="anthropic.messages"),
            ReasoningDelta(0, "unsigned"),
            TextDelta(0, "t"),
        )
    )
    assert [block["type"] for block in blocks] == ["thinking", "redacted_thinking", "thinking", "text"]
    assert [block.get("signature", block.get("data")) for block in blocks[:3]] == ["rh1:gemini.generate:G", "R", ""]


def test_an_empty_answer_has_no_blocks() -> None:
    assert check(written(START, TextDelta(0, ""), Finished(0, FinishReason.STOP))) == []


def test_an_image_is_a_link() -> None:
    (block,) = check(written(START, ImageDelta(0, ImagePart(Media(data="AA==", media_type="image/png")))))
    assert block["text"] == "![image](data:image/png;base64,AA==)"


@pytest.mark.parametrize(
    ("finish", "calls", "reason", "sequence"),
    [
        (Finished(0, FinishReason.STOP), False, "end_turn", None),
        (Finished(0, FinishReason.STOP, stop_sequence="END"), False, "stop_sequence", "END"),
        (Finished(0, FinishReason.STOP), True, "tool_use", None),
        (Finished(0, FinishReason.LENGTH), True, "max_tokens", None),
        (Finished(0, FinishReason.CONTENT_FILTER), True, "refusal", None),
        (Finished(0, FinishReason.STOP, native_finish="pause_turn"), False, "pause_turn", None),
    ],
)
def test_the_stop_reason(finish: Finished, calls: bool, reason: str, sequence: str | None) -> None:
    call = [ToolCallStarted(0, 0, "c", "f")] if calls else [TextDelta(0, "x")]
    delta = written(START, *call, finish)[-2]["delta"]
    assert (delta["stop_reason"], delta["stop_sequence"]) == (reason, sequence)


def sse(*events: Any) -> bytes:
    return b"".join(b"event: %s\ndata: %s\n\n" % (e["type"].encode(), json.dumps(e).encode()) for e in events)


MESSAGE = {"id": "m1", "model": "up", "content": [], "usage": {"input_tokens": 5, "cache_read_input_tokens": 2}}


def test_usage_of_the_start_stands_until_the_end_says_otherwise() -> None:
    body = sse(
        {"type": "message_start", "message": MESSAGE},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}},
        {"type": "message_stop"},
    )
    usages = [event.usage for event in CODEC.stream_decoder().feed(body) if isinstance(event, UsageReported)]
    assert usages == [Usage(7, 0, 2), Usage(7, 3, 2)]
    tap = CODEC.native_stream(view())
    tap.feed(body)
    assert tap.usage == usages[-1]


@pytest.mark.parametrize("events", [(), ({"type": "ping"},), ({"type": "message_start", "message": MESSAGE},)])
def test_a_stream_without_its_end_is_an_error(events: tuple[Any, ...]) -> None:
    decoder, tap = CODEC.stream_decoder(), CODEC.native_stream(view())
    decoder.feed(sse(*events))
    tap.feed(sse(*events))
    with pytest.raises(UpstreamError):
        decoder.close()
    with pytest.raises(UpstreamError):
        tap.finish()


def test_a_missing_last_event_is_made_up_for_where_the_reason_was_said() -> None:
    body = sse(
        {"type": "message_start", "message": MESSAGE},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}},
    )
    tap = CODEC.native_stream(view())
    tap.feed(body)
    assert frames_of(tap.finish()) == [{"type": "message_stop"}]
    assert isinstance([*CODEC.stream_decoder().feed(body), *_closed(body)][-1], Finished)


def _closed(body: bytes) -> list[ChatEvent]:
    decoder = CODEC.stream_decoder()
    decoder.feed(body)
    return list(decoder.close())


def test_only_the_name_changes_in_the_byte_lane() -> None:
    event = (
        b'event: message_start\ndata: {"type" : "message_start", "message" : {"x":1.50, "model":"up", "usage":{}}}\n\n'
    )
    tap = CODEC.native_stream(view(rename_to="public"))
    assert tap.feed(b"event: ping\ndata: {}\n\n") == b"event: ping\ndata: {}\n\n"
    assert tap.feed(event) == event.replace(b'"up"', b'"public"')


@pytest.mark.parametrize("pieces", [(), ("",), ("{", "}")])
def test_a_call_without_arguments_has_an_empty_object_of_them(pieces: tuple[str, ...]) -> None:
    block = {"type": "tool_use", "id": "c", "name": "ping", "input": {}}
    deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
    body = sse(
        {"type": "message_start", "message": MESSAGE},
        {"type": "content_block_start", "index": 0, "content_block": block},
        *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": 0},
    )
    events = CODEC.stream_decoder().feed(body)
    assert "".join(event.arguments for event in events if isinstance(event, ToolCallDelta)) == "{}"

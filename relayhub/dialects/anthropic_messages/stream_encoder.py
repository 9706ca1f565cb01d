"""Events → a streamed answer: one content block open at a time, their indices without gaps."""

from __future__ import annotations

from collections.abc import Iterable

import orjson

from relayhub.dialects.anthropic_messages.names import NAME
from relayhub.dialects.anthropic_messages.spoken import image_text, message_id, reasoning_data, signature_text
from relayhub.dialects.anthropic_messages.stops import write_stop
from relayhub.dialects.anthropic_messages.usage import estimated, write_usage
from relayhub.dialects.call_queue import CallQueue
from relayhub.dialects.codec import ClientView
from relayhub.dialects.fields import nested
from relayhub.dialects.runs import HERE, Piece, RunWriter, WriteMore, around
from relayhub.dialects.tool_ids import to_plain
from relayhub.types.chat import (
    ChatEvent,
    Ended,
    ExtraDelta,
    Finished,
    FinishReason,
    ImageDelta,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)
from relayhub.types.json import JsonObject
from relayhub.types.usage import Usage


def frame(value: JsonObject) -> bytes:
    """The SDK passes over events without their ``event:`` line."""
    return b"event: " + str(value["type"]).encode() + b"\ndata: " + orjson.dumps(value) + b"\n\n"


class MessagesStreamEncoder(RunWriter):
    """See :class:`relayhub.dialects.codec.StreamEncoder`. Of several choices the first is shown."""

    def __init__(self, view: ClientView) -> None:
        self._view = view
        self._index = 0
        """Of the open block, or of the next one."""
        self._open: str | None = None
        """The kind of the open block."""
        self._calls = CallQueue()
        self._finished: Finished | None = None
        self._usage: Usage | None = None
        self._out: list[bytes] = []

    def encode(self, events: Iterable[ChatEvent]) -> bytes:
        for event in events:
            self._event(event)
        return self._taken()

    def run_of(self, piece: Piece) -> WriteMore | None:
        match piece:
            case TextDelta(0) if self._open == "text":
                return around(self._more({"type": "text_delta", "text": HERE}))
            case ReasoningDelta(0, _, None, None) if self._open == "thinking":
                return around(self._more({"type": "thinking_delta", "thinking": HERE}))
            case ToolCallDelta(0, index) if self._open == "tool_use" and index == self._calls.streaming:
                return around(self._more({"type": "input_json_delta", "partial_json": HERE}))
            case _:
                return None

    def finish(self) -> bytes:
        self._close_calls()
        ending = self._finished or Finished(0, FinishReason.STOP)
        reason, stop = write_stop(ending.reason, ending.stop_sequence, ending.native_finish, calls=self._calls.seen)
        usage = estimated(self._view.input_estimate) if self._usage is None else write_usage(self._usage)
        self._write({"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": stop}, "usage": usage})
        self._write({"type": "message_stop"})
        return self._taken()

    def _taken(self) -> bytes:
        out, self._out = self._out, []
        return b"".join(out)

    def _write(self, value: JsonObject) -> None:
        self._out.append(frame(value))

    def _event(self, event: ChatEvent) -> None:
        match event:
            case Started():
                self._start(event)
            case TextDelta(0, text) | RefusalDelta(0, text):
                self._text(text)
            case ReasoningDelta(0):
                self._reasoning(event)
            case ToolCallStarted(0):
                self._call(event)
            case ToolCallDelta(0, index, arguments):
                self._arguments(index, arguments)
            case ImageDelta(0, image):
                self._text(image_text(image))
            case ExtraDelta(0, dialect, values) if dialect == NAME:
                self._extra(values)
            case Finished(0):
                self._close_calls()
                self._finished = event
            case UsageReported(usage):
                self._usage = usage
            case _:
                assert not isinstance(event, Ended) or event == Ended()

    def _start(self, event: Started) -> None:
        own = NAME in event.extras
        message: JsonObject = {
            "id": event.id if own else message_id(self._view),
            "type": "message",
            "role": "assistant",
            "model": self._view.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {**estimated(self._view.input_estimate), "output_tokens": 1},
            **nested(event.extras, NAME),
        }
        self._write({"type": "message_start", "message": message})

    def _text(self, text: str) -> None:
        if text:
            self._ensure("text", {"type": "text", "text": ""})
            self._delta({"type": "text_delta", "text": text})

    def _reasoning(self, event: ReasoningDelta) -> None:
        if event.text or event.signature is not None:
            self._ensure("thinking", {"type": "thinking", "thinking": "", "signature": ""})
        if event.text:
            self._delta({"type": "thinking_delta", "thinking": event.text})
        if event.signature is not None:
            self._delta({"type": "signature_delta", "signature": signature_text(event.signature, event.signer)})
            self._close()
        if event.redacted is not None:
            data = reasoning_data(event.redacted, event.signer)
            self._ensure("redacted_thinking", {"type": "redacted_thinking", "data": data})
            self._close()

    def _call(self, event: ToolCallStarted) -> None:
        """Upstreams may interleave the pieces of several calls: the first streams, the others wait until it ends."""
        if self._calls.begin(event):
            self._open_call(event)

    def _open_call(self, event: ToolCallStarted) -> None:
        self._ensure("tool_use", {"type": "tool_use", "id": to_plain(event.id), "name": event.name, "input": {}})

    def _arguments(self, index: int, text: str) -> None:
        if self._calls.streams(index, text) and text:
            self._delta({"type": "input_json_delta", "partial_json": text})

    def _close_calls(self) -> None:
        """No call goes on after this."""
        self._close()
        for event, text in self._calls.take_waiting():
            self._open_call(event)
            if text:
                self._delta({"type": "input_json_delta", "partial_json": text})
            self._close()

    def _extra(self, values: JsonObject) -> None:
        if block := nested(values, "block"):
            self._ensure("other", block)
        elif self._open is not None and (delta := nested(values, "delta")):
            self._delta(delta)

    def _ensure(self, kind: str, block: JsonObject) -> None:
        """The open block is of this kind; calls and what the hub has no word for get one each."""
        if self._open == kind and kind in ("text", "thinking"):
            return
        if kind == "tool_use":
            self._close()
        else:
            self._close_calls()
        self._open = kind
        self._write({"type": "content_block_start", "index": self._index, "content_block": block})

    def _delta(self, delta: JsonObject) -> None:
        self._out.append(self._more(delta))

    def _more(self, delta: JsonObject) -> bytes:
        """Of the block that is open."""
        return frame({"type": "content_block_delta", "index": self._index, "delta": delta})

    def _close(self) -> None:
        if self._open is not None:
            self._write({"type": "content_block_stop", "index": self._index})
            self._open = None
            self._index += 1

"""Events → a streamed answer, written by the book: texts as they come, calls whole, and nothing but chunks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import orjson

from relayhub.dialects.codec import ClientView, Framing
from relayhub.dialects.fields import nested
from relayhub.dialects.gemini_generate.names import NAME
from relayhub.dialects.gemini_generate.spoken import call_parts, image_parts, shows_thoughts, thought_parts
from relayhub.dialects.gemini_generate.stops import write_stop
from relayhub.dialects.gemini_generate.stream_decoder import CANDIDATE, PART
from relayhub.dialects.gemini_generate.usage import write_usage
from relayhub.dialects.runs import HERE, Piece, RunWriter, WriteMore, around
from relayhub.types.chat import (
    ChatEvent,
    Ended,
    ExtraDelta,
    Finished,
    FinishReason,
    ImageDelta,
    ReasoningDelta,
    ReasoningPart,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallPart,
    ToolCallStarted,
    UsageReported,
)
from relayhub.types.json import Json, JsonObject
from relayhub.types.usage import Usage


class Frames:
    """Chunks in the framing that the client asked for."""

    __slots__ = ("_array", "_begun")

    def __init__(self, framing: Framing) -> None:
        self._array = framing is Framing.ARRAY
        self._begun = False

    def write(self, chunk: JsonObject) -> bytes:
        data = orjson.dumps(chunk)
        if not self._array:
            return b"data: " + data + b"\r\n\r\n"
        lead = b",\r\n" if self._begun else b"["
        self._begun = True
        return lead + data

    def close(self) -> bytes:
        if not self._array:
            return b""
        return b"\r\n]" if self._begun else b"[]"


class GeminiStreamEncoder(RunWriter):
    """See :class:`relayhub.dialects.codec.StreamEncoder`. Every chunk has content, which clients' SDKs insist on; the
    last one has the finish reasons and the usage, and is written by :meth:`finish` only."""

    def __init__(self, view: ClientView) -> None:
        self._view = view
        self._shows = shows_thoughts(view)
        self._frames = Frames(view.envelope.framing)
        self._own = False
        self._identity = view.call_id
        self._others: JsonObject = {}
        self._usage: Usage | None = None
        self._calls: dict[int, dict[int, ToolCallPart]] = {}
        """By choice and number, until they are whole."""
        self._finished: dict[int, Finished] = {}
        self._extras: dict[int, JsonObject] = {}
        """Other fields of candidates, for the last chunk."""

    def encode(self, events: Iterable[ChatEvent]) -> bytes:
        return b"".join([self._event(event) for event in events])

    def run_of(self, piece: Piece) -> WriteMore | None:
        """Only of what is written without being remembered."""
        return around(self._parts(piece.choice, [{"text": HERE}])) if isinstance(piece, TextDelta) else None

    def finish(self) -> bytes:
        """Usage is never invented: without a report there is none. Raises ``UpstreamError`` for a tool call that this
        dialect cannot show."""
        calls = b"".join([self._flush(choice) for choice in list(self._calls)])
        ends = sorted(self._finished.items()) or [(0, Finished(0, FinishReason.STOP))]
        candidates: list[Json] = [
            {
                "content": {"parts": [{"text": ""}], "role": "model"},
                "finishReason": write_stop(end.reason, end.native_finish, own=self._own),
                "index": choice,
                **self._extras.get(choice, {}),
            }
            for choice, end in ends
        ]
        return calls + self._frames.write(self._chunk(candidates)) + self._frames.close()

    def _event(self, event: ChatEvent) -> bytes:
        match event:
            case Started():
                self._start(event)
            case UsageReported(usage):
                self._usage = usage
            case TextDelta(choice, text) | RefusalDelta(choice, text):
                return self._parts(choice, [{"text": text}] if text else [])
            case ReasoningDelta():
                part = ReasoningPart(event.text, event.signature, event.redacted, event.signer, event.wire_field)
                return self._parts(event.choice, thought_parts(part, shows=self._shows))
            case ImageDelta(choice, image):
                return self._parts(choice, image_parts(image, self._view.image_form))
            case ToolCallStarted():
                call = ToolCallPart(event.id, event.name, "", event.custom, event.signature, event.signer)
                self._calls.setdefault(event.choice, {})[event.index] = call
            case ToolCallDelta(choice, index, arguments):
                call = self._calls[choice][index]
                self._calls[choice][index] = replace(call, arguments=call.arguments + arguments)
            case ExtraDelta(choice, dialect, values) if dialect == NAME:
                self._extras.setdefault(choice, {}).update(nested(values, CANDIDATE))
                return self._parts(choice, [nested(values, PART)] if PART in values else [])
            case Finished(choice):
                self._finished[choice] = event
                return self._flush(choice)
            case ExtraDelta() | Ended():
                pass
        return b""

    def _start(self, event: Started) -> None:
        self._own = NAME in event.extras
        self._identity = event.id or self._identity
        self._others = nested(event.extras, NAME)

    def _flush(self, choice: int) -> bytes:
        """The calls of a choice that has ended."""
        end = self._finished.get(choice)
        reason = FinishReason.STOP if end is None else end.reason
        calls = sorted(self._calls.pop(choice, {}).items())
        return self._parts(choice, [part for _, call in calls for part in call_parts(call, reason)])

    def _parts(self, choice: int, parts: Iterable[JsonObject]) -> bytes:
        content: list[Json] = [*parts]
        if not content:
            return b""
        return self._frames.write(self._chunk([{"content": {"parts": content, "role": "model"}, "index": choice}]))

    def _chunk(self, candidates: list[Json]) -> JsonObject:
        chunk: JsonObject = {"candidates": candidates, **self._others}
        if self._usage is not None:
            chunk["usageMetadata"] = write_usage(self._usage)
        return {**chunk, "modelVersion": self._view.model, "responseId": self._identity}

"""Transcripts as events: OpenAI's ``transcript.text.*``, and the chunks with ``[DONE]`` of compatible upstreams."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import orjson

from relayhub.dialects.event_stream import EventTap, broken_off
from relayhub.dialects.fields import nested
from relayhub.dialects.openai_chat.native_stream import DONE, ModelRenamer
from relayhub.dialects.openai_chat.stream_encoder import TERMINAL
from relayhub.dialects.openai_chat.upstream_json import objects, string
from relayhub.dialects.sse import data_of
from relayhub.dialects.upstream_errors import in_stream_error
from relayhub.types import limits
from relayhub.types.errors import upstream_broke
from relayhub.types.json import Json, JsonObject
from relayhub.types.usage import Usage

UsageReader: TypeAlias = Callable[[Json], Usage | None]

DELTA, FINISHED = "transcript.text.delta", "transcript.text.done"


class TranscriptStream(EventTap):
    """Ends with ``transcript.text.done``, or with ``[DONE]`` where there is no such event; that one is held back."""

    def __init__(self, read_usage: UsageReader, *, rename_to: str | None) -> None:
        super().__init__()
        self._read_usage = read_usage
        self._renamer = None if rename_to is None else ModelRenamer(rename_to)

    def _frame(self, frame: bytes) -> bytes:
        data = data_of(frame) if self._last is None else None
        if data is None or data.strip() != DONE:
            return super()._frame(frame)
        if not self.started:
            raise upstream_broke("the stream has no events")
        self._last = TERMINAL
        return b""

    def _event(self, frame: bytes, data: bytes, value: JsonObject) -> bytes:
        kind = value.get("type")
        if value.get("error") or kind == "error":
            raise in_stream_error(value.get("error") or value)
        self.started = True
        if (usage := self._read_usage(value.get("usage"))) is not None:
            self.usage = usage
        frame = frame if self._renamer is None else self._renamer.rename(frame, data)
        if kind == FINISHED:
            self.delivered_chars = max(self.delivered_chars, len(string(value.get("text"))))
            self._last = frame
            return b""
        self.delivered_chars += _chars(value)
        return frame

    def _ending(self) -> bytes:
        raise broken_off()


def _chars(event: JsonObject) -> int:
    chunks = objects(event.get("choices"))
    return len(string(event.get("delta"))) + sum(len(string(nested(chunk, "delta").get("content"))) for chunk in chunks)


@dataclass(frozen=True, slots=True)
class Transcript:
    """A whole answer. ``said``: its usage in the upstream's own words."""

    text: str
    usage: Usage | None = None
    said: Json = None


class WholeTranscript:
    """A :class:`relayhub.dialects.codec.NativeStream` over a whole answer: told as the two events it amounts to."""

    def __init__(self, read: Callable[[bytes], Transcript]) -> None:
        """``read``: raises ``UpstreamError``."""
        self.started = False
        self.ended = False
        self.usage: Usage | None = None
        self.delivered_chars = 0
        self._read = read
        self._body = bytearray()

    def feed(self, data: bytes) -> bytes:
        self._body += data
        if len(self._body) > limits.MAX_UPSTREAM_BODY:
            raise upstream_broke(f"it is longer than {limits.MAX_UPSTREAM_BODY} bytes")
        return b""

    def finish(self) -> bytes:
        whole = self._read(bytes(self._body))
        self.usage = whole.usage
        self.delivered_chars = len(whole.text)
        last: JsonObject = {"type": FINISHED, "text": whole.text}
        if whole.said is not None:
            last["usage"] = whole.said
        return _event({"type": DELTA, "delta": whole.text}) + _event(last)


def _event(value: JsonObject) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"

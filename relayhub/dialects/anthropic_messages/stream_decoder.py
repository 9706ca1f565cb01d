"""A streamed answer → events."""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from relayhub.dialects.anthropic_messages.names import NAME
from relayhub.dialects.anthropic_messages.stops import read_stop
from relayhub.dialects.anthropic_messages.usage import merged, read_usage
from relayhub.dialects.event_stream import EventDecoder, broken_off
from relayhub.dialects.fields import nested
from relayhub.dialects.openai_chat.reply import minted_id
from relayhub.dialects.openai_chat.upstream_json import integer, string
from relayhub.dialects.runs import Piece, RunReader
from relayhub.dialects.upstream_errors import in_stream_error
from relayhub.types.chat import (
    ChatEvent,
    Ended,
    ExtraDelta,
    Finished,
    ReasoningDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)
from relayhub.types.json import Json, JsonObject

_MESSAGE_FIELDS = frozenset({"id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage"})


class MessagesStreamDecoder(EventDecoder, RunReader):
    """Reasons and usage are told at the end: this dialect may correct them until then.

    ``ExtraDelta.values``: ``{"block": {…}}`` for the start of a block that the hub has no word for, ``{"delta": {…}}`` for
    such a piece of the block that is open.
    """

    def __init__(self) -> None:
        super().__init__()
        self._started = False
        self._ended = False
        self._identity = ""
        self._calls: dict[int, int] = {}
        """Content block → tool call, each by its index."""
        self._silent: set[int] = set()
        """Content blocks of calls whose arguments have not begun."""
        self._usage: JsonObject = {}
        self._stop: tuple[Json, Json] | None = None
        """Reason and sequence, as they came."""

    def text_member(self, piece: Piece) -> bytes:
        match piece:
            case TextDelta():
                return b'"text"'
            case ReasoningDelta():
                return b'"thinking"'
            case ToolCallDelta():
                return b'"partial_json"'

    def _event(self, value: JsonObject) -> Iterator[ChatEvent]:
        if self._ended:
            return
        match value.get("type"):
            case "message_start":
                yield from self._start(nested(value, "message"))
            case "content_block_start":
                yield from self._block(integer(value.get("index"), -1), nested(value, "content_block"))
            case "content_block_delta":
                yield from self._delta(integer(value.get("index"), -1), nested(value, "delta"))
            case "content_block_stop":
                yield from self._no_arguments(integer(value.get("index"), -1))
            case "message_delta":
                yield from self._note_end(nested(value, "delta"), value.get("usage"))
            case "message_stop":
                self._ended = True
                yield from self._finish()
                yield Ended()
            case "error":
                raise in_stream_error(value.get("error") or value)
            case _ if value.get("error"):
                raise in_stream_error(value["error"])
            case _:
                pass

    def _ending(self) -> Iterator[ChatEvent]:
        if self._ended:
            return
        if not self._started or self._stop is None or self._stop[0] is None:
            raise broken_off()
        yield from self._finish()

    def _start(self, message: JsonObject) -> Iterator[ChatEvent]:
        if self._started:
            return
        self._started = True
        self._identity = string(message.get("id"))
        others: JsonObject = {key: value for key, value in message.items() if key not in _MESSAGE_FIELDS}
        yield Started(self._identity, string(message.get("model")), 0, {NAME: others})
        yield from self._count(message.get("usage"))

    def _block(self, index: int, block: JsonObject) -> Iterator[ChatEvent]:
        match block.get("type"):
            case "text":
                if text := string(block.get("text")):
                    yield TextDelta(0, text)
            case "thinking":
                yield from _thinking(string(block.get("thinking")), block.get("signature"))
            case "redacted_thinking":
                yield ReasoningDelta(0, "", redacted=string(block.get("data")), signer=NAME)
            case "tool_use":
                yield from self._call(index, block)
            case _:
                yield ExtraDelta(0, NAME, {"block": block})

    def _call(self, index: int, block: JsonObject) -> Iterator[ChatEvent]:
        number = self._calls[index] = len(self._calls)
        call_id = string(block.get("id")) or minted_id(f"{self._identity}/{number}")
        yield ToolCallStarted(0, number, call_id, string(block.get("name")))
        if given := block.get("input"):
            yield ToolCallDelta(0, number, orjson.dumps(given).decode())
        else:
            self._silent.add(index)

    def _no_arguments(self, index: int) -> Iterator[ChatEvent]:
        """A call without arguments has no pieces here; elsewhere they are an empty object."""
        if index in self._silent:
            self._silent.remove(index)
            yield ToolCallDelta(0, self._calls[index], "{}")

    def _delta(self, index: int, delta: JsonObject) -> Iterator[ChatEvent]:
        match delta.get("type"):
            case "text_delta":
                if text := string(delta.get("text")):
                    yield TextDelta(0, text)
            case "thinking_delta" | "signature_delta":
                yield from _thinking(string(delta.get("thinking")), delta.get("signature"))
            case "input_json_delta" if index in self._calls:
                if text := string(delta.get("partial_json")):
                    self._silent.discard(index)
                    yield ToolCallDelta(0, self._calls[index], text)
            case _:
                yield ExtraDelta(0, NAME, {"delta": delta})

    def _note_end(self, delta: JsonObject, usage: Json) -> Iterator[ChatEvent]:
        if self._stop is None or delta.get("stop_reason") is not None:
            self._stop = delta.get("stop_reason"), delta.get("stop_sequence")
        yield from self._count(usage)

    def _count(self, usage: Json) -> Iterator[ChatEvent]:
        self._usage = merged(self._usage, usage)
        counted = read_usage(self._usage)
        if counted is not None and isinstance(usage, dict):
            yield UsageReported(counted)

    def _finish(self) -> Iterator[ChatEvent]:
        if not self._started:
            raise broken_off()
        said, sequence = self._stop or (None, None)
        reason, native = read_stop(said, calls=bool(self._calls))
        yield Finished(0, reason, sequence if isinstance(sequence, str) else None, native)


def _thinking(text: str, signature: Json) -> Iterator[ChatEvent]:
    if isinstance(signature, str) and signature:
        yield ReasoningDelta(0, text, signature=signature, signer=NAME)
    elif text:
        yield ReasoningDelta(0, text, signer=NAME)

"""A streamed answer → events, from events or from an array."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from relayhub.dialects.fields import nested
from relayhub.dialects.gemini_generate.answer_parts import CallIds, read_part
from relayhub.dialects.gemini_generate.ending import Ending
from relayhub.dialects.gemini_generate.names import NAME
from relayhub.dialects.gemini_generate.pieces import Pieces
from relayhub.dialects.gemini_generate.reply import block_reason, index_of
from relayhub.dialects.gemini_generate.stops import read_stop
from relayhub.dialects.gemini_generate.upstream_errors import in_band_error
from relayhub.dialects.gemini_generate.usage import read_usage
from relayhub.dialects.openai_chat.upstream_json import objects, parse_tolerantly, string
from relayhub.types.chat import (
    ChatEvent,
    Ended,
    ExtraDelta,
    Finished,
    FinishReason,
    ImageDelta,
    ImagePart,
    OpaquePart,
    Part,
    ReasoningDelta,
    ReasoningPart,
    Started,
    TextDelta,
    TextPart,
    ToolCallDelta,
    ToolCallPart,
    ToolCallStarted,
    UsageReported,
)
from relayhub.types.errors import UpstreamError
from relayhub.types.json import Json, JsonObject

PART, CANDIDATE = "part", "candidate"

_CHUNK_FIELDS = frozenset({"candidates", "usageMetadata", "modelVersion", "responseId"})
_CANDIDATE_FIELDS = frozenset({"content", "finishReason", "index"})
_EMPTY: tuple[JsonObject | list[Json] | None, ...] = (None, {}, [])


class GeminiStreamDecoder:
    """See :class:`relayhub.dialects.codec.StreamDecoder`.

    When an error follows good events in the same bytes, the events are returned and the next call (``feed(b"")`` will
    do) raises: so the same bytes in smaller pieces give the same events. ``ExtraDelta.values`` is ``{"part": {…}}`` for
    a part that only this dialect has, or ``{"candidate": {…}}`` for other fields of a candidate."""

    def __init__(self) -> None:
        self._pieces = Pieces()
        self._failure: UpstreamError | None = None
        self._ending = Ending()
        self._started = False
        self._identity = ""
        self._ids: dict[int, CallIds] = {}
        self._calls: dict[int, int] = {}
        """Calls of each candidate so far."""
        self._produced: set[int] = set()
        """Candidates that have said anything beside thinking."""

    def feed(self, data: bytes) -> Sequence[ChatEvent]:
        if self._failure is not None:
            raise self._failure
        events: list[ChatEvent] = []
        try:
            for piece in self._pieces.feed(data):
                for event in self._data(piece.data):
                    events.append(event)
        except UpstreamError as error:
            self._failure = error
            if not events:
                raise
        return events

    def close(self) -> Sequence[ChatEvent]:
        if self._failure is not None:
            raise self._failure
        events = [event for piece in self._pieces.rest() for event in self._data(piece.data)]
        self._ending.check()
        return [*events, Ended()]

    def _data(self, data: bytes) -> Iterator[ChatEvent]:
        chunk = parse_tolerantly(data)
        if chunk is None:
            return  # one unreadable chunk is skipped: if it mattered, the end of the stream shows it
        if chunk.get("error"):
            raise in_band_error(chunk["error"])
        candidates = objects(chunk.get("candidates"))
        usage = read_usage(chunk.get("usageMetadata"))
        blocked = not candidates and block_reason(chunk) is not None
        if not self._started and (candidates or usage is not None or blocked):
            yield self._start(chunk)
        for position, candidate in enumerate(candidates):
            yield from self._candidate(candidate, index_of(candidate, position))
        if blocked and not self._ending.blocked:
            self._ending.blocked = True
            yield Finished(0, FinishReason.CONTENT_FILTER)
        if usage is not None:
            yield UsageReported(usage)

    def _start(self, chunk: JsonObject) -> Started:
        self._started = self._ending.begun = True
        self._identity = string(chunk.get("responseId"))
        others = {key: value for key, value in chunk.items() if key not in _CHUNK_FIELDS}
        return Started(self._identity, string(chunk.get("modelVersion")), 0, {NAME: others})

    def _candidate(self, candidate: JsonObject, index: int) -> Iterator[ChatEvent]:
        if not self._ending.see(index):
            return
        ids = self._ids.setdefault(index, CallIds(self._identity, index))
        for value in objects(nested(candidate, "content").get("parts")):
            for part in read_part(value, ids):
                if not isinstance(part, ReasoningPart):
                    self._produced.add(index)
                yield from self._part(part, index)
        others: JsonObject = {
            key: value for key, value in candidate.items() if key not in _CANDIDATE_FIELDS and value not in _EMPTY
        }
        if others:
            yield ExtraDelta(index, NAME, {CANDIDATE: others})
        if candidate.get("finishReason"):
            calls = bool(self._calls.get(index))
            produced = index in self._produced
            reason, native = read_stop(candidate["finishReason"], calls=calls, produced=produced)
            self._ending.finish(index)
            yield Finished(index, reason, native_finish=native)

    def _part(self, part: Part, index: int) -> Iterator[ChatEvent]:
        match part:
            case TextPart(text):
                yield TextDelta(index, text)
            case ReasoningPart():
                yield ReasoningDelta(index, part.text, part.signature, signer=part.signer, wire_field=part.wire_field)
            case ToolCallPart():
                number = self._calls.get(index, 0)
                self._calls[index] = number + 1
                yield ToolCallStarted(index, number, part.id, part.name, False, part.signature, part.signer)
                yield ToolCallDelta(index, number, part.arguments)
            case ImagePart():
                yield ImageDelta(index, part)
            case OpaquePart():
                yield ExtraDelta(index, NAME, {PART: part.value})
            case _:
                pass

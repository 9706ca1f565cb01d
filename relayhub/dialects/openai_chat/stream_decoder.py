"""A streamed answer → events. Tolerant: what one upstream or another is known to do is listed in the tests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from relayhub.dialects.fields import nested
from relayhub.dialects.openai_chat.call_fragments import CallFragments
from relayhub.dialects.openai_chat.ending import Ending
from relayhub.dialects.openai_chat.finish import finish_reason
from relayhub.dialects.openai_chat.parts import NAME
from relayhub.dialects.openai_chat.upstream_json import (
    integer,
    objects,
    parse_tolerantly,
    reasoning_of,
    string,
    text_of,
)
from relayhub.dialects.openai_chat.usage import read_usage
from relayhub.dialects.runs import Piece, RunReader
from relayhub.dialects.sse import FrameSplitter, data_of
from relayhub.dialects.upstream_errors import in_stream_error, raise_error_body
from relayhub.types.chat import (
    ChatEvent,
    Ended,
    ExtraDelta,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    UsageReported,
)
from relayhub.types.errors import UpstreamError
from relayhub.types.json import Json, JsonObject

DONE = b"[DONE]"

_EMPTY: tuple[JsonObject | list[Json] | None, ...] = (None, {}, [])
_CHUNK_FIELDS = frozenset({"id", "object", "created", "model", "choices", "usage", "obfuscation"})
_CHOICE_FIELDS = frozenset({"index", "delta", "finish_reason"})
_DELTA_FIELDS = frozenset({"role", "content", "reasoning_content", "reasoning", "refusal", "tool_calls"})


class ChatStreamDecoder(RunReader):
    """See :class:`relayhub.dialects.codec.StreamDecoder`.

    When an error follows good events in the same bytes, the events are returned and the next call (``feed(b"")`` will
    do) raises: so the same bytes in smaller pieces give the same events. ``ExtraDelta.values`` is
    ``{"delta": {…}, "choice": {…}}``: other fields of the delta, and of the choice around it (``logprobs``); it comes
    before the other events of its chunk.
    """

    def __init__(self) -> None:
        self._frames = FrameSplitter()
        self._failure: UpstreamError | None = None
        self._ending = Ending()
        self._started = False
        self._seed = ""
        self._calls: dict[int, CallFragments] = {}

    def feed(self, data: bytes) -> Sequence[ChatEvent]:
        self._raise_failure()
        events: list[ChatEvent] = []
        try:
            for frame in self._frames.feed(data):
                events += self._frame(frame)
        except UpstreamError as error:
            self._fail(error, events)
        return events

    def text_member(self, piece: Piece) -> bytes:
        match piece:
            case TextDelta():
                return b'"content"'
            case ReasoningDelta():
                return b'"reasoning_content"' if piece.wire_field == "reasoning_content" else b'"reasoning"'
            case ToolCallDelta():
                return b'"arguments"'

    def close(self) -> Sequence[ChatEvent]:
        self._raise_failure()
        rest = self._frames.rest()
        raise_error_body(rest)
        events = self._frame(rest)
        self._ending.check()
        return events

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _fail(self, error: UpstreamError, events: Sequence[ChatEvent]) -> None:
        self._failure = error
        if not events:
            raise error

    def _frame(self, frame: bytes) -> list[ChatEvent]:
        data = data_of(frame)
        if data is None or self._ending.done:
            return []
        if data.strip() == DONE:
            self._ending.end()
            return [Ended()]
        chunk = parse_tolerantly(data)
        # One unreadable event is skipped: if it mattered, the end of the stream shows it.
        return [] if chunk is None else list(self._chunk(chunk))

    def _chunk(self, chunk: JsonObject) -> Iterator[ChatEvent]:
        if chunk.get("error"):
            raise in_stream_error(chunk["error"])
        choices = objects(chunk.get("choices"))
        usage = read_usage(chunk.get("usage"))
        if not self._started and (choices or usage):
            # Not before: a preamble without choices may come first, with an empty id.
            yield self._start(chunk)
        for position, choice in enumerate(choices):
            yield from self._choice(choice, integer(choice.get("index"), position))
        if usage is not None:
            yield UsageReported(usage)

    def _start(self, chunk: JsonObject) -> Started:
        self._started = True
        self._ending.begun = True
        identity, created = string(chunk.get("id")), integer(chunk.get("created"), 0)
        self._seed = f"{identity}/{created}"
        others = {key: value for key, value in chunk.items() if key not in _CHUNK_FIELDS}
        return Started(identity, string(chunk.get("model")), created, {NAME: others})

    def _choice(self, choice: JsonObject, index: int) -> Iterator[ChatEvent]:
        reason = choice.get("finish_reason")
        if not self._ending.see(index, bool(reason)):
            return
        calls = self._calls.setdefault(index, CallFragments(index, self._seed))
        delta = nested(choice, "delta")
        extra = _extra(choice, delta)
        if extra:
            yield ExtraDelta(index, NAME, extra)
        yield from _texts(delta, index)
        for fragment in objects(delta.get("tool_calls")):
            yield from calls.feed(fragment)
        if reason:
            yield from calls.close()
            yield Finished(index, finish_reason(reason, tool_calls=calls.seen))


def _texts(delta: JsonObject, index: int) -> Iterator[ChatEvent]:
    reasoning = reasoning_of(delta)
    if reasoning is not None:
        field, text = reasoning
        yield ReasoningDelta(index, text, wire_field=field)
    if text := text_of(delta.get("content")):
        yield TextDelta(index, text)
    if isinstance(refusal := delta.get("refusal"), str) and refusal:
        yield RefusalDelta(index, refusal)


def _extra(choice: JsonObject, delta: JsonObject) -> JsonObject:
    groups = (("delta", delta, _DELTA_FIELDS), ("choice", choice, _CHOICE_FIELDS))
    extra: JsonObject = {}
    for name, value, known in groups:
        others: JsonObject = {key: item for key, item in value.items() if key not in known and item not in _EMPTY}
        if others:
            extra[name] = others
    return extra

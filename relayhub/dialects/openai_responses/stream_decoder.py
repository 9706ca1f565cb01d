"""A streamed answer → events. What an upstream says only when a thing is done, and not while it comes, is not lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from relayhub.dialects.event_stream import EventDecoder, broken_off
from relayhub.dialects.fields import nested
from relayhub.dialects.openai_chat.reply import arguments_of
from relayhub.dialects.openai_chat.upstream_json import integer, objects, string
from relayhub.dialects.openai_responses.finish import error_of_event, failure_of, finish_of
from relayhub.dialects.openai_responses.images import decode_generated
from relayhub.dialects.openai_responses.items import CALLS, reasoning_text
from relayhub.dialects.openai_responses.kept import NAME
from relayhub.dialects.openai_responses.marks import read_encrypted
from relayhub.dialects.openai_responses.output import call_id_of
from relayhub.dialects.openai_responses.usage import read_usage
from relayhub.types.chat import (
    ChatEvent,
    Ended,
    ExtraDelta,
    Finished,
    ImageDelta,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)
from relayhub.types.errors import upstream_broke
from relayhub.types.json import JsonObject

_RESPONSE_FIELDS = frozenset({"id", "object", "created_at", "model", "output", "usage", "status"})


@dataclass(slots=True)
class _Item:
    """What has been told of an item so far. ``call``: the number of a tool call."""

    text: str = ""
    refusal: str = ""
    thought: str = ""
    arguments: str = ""
    call: int | None = None
    part: tuple[str, int] | None = None
    """The paragraph that was told last, by kind and index."""
    done: bool = False
    encrypted: str | None = field(default=None)


class ResponsesStreamDecoder(EventDecoder):
    """``ExtraDelta.values`` is ``{"item": {…}}``: an item that the hub has no word for, once it is done."""

    def __init__(self) -> None:
        super().__init__()
        self._started = False
        self._ended = False
        self._identity = ""
        self._items: dict[int, _Item] = {}
        self._calls = 0

    def _event(self, value: JsonObject) -> Iterator[ChatEvent]:
        if self._ended:
            return
        kind = string(value.get("type"))
        if kind == "error" or (value.get("error") and not kind):
            raise error_of_event(value)
        if kind in ("response.completed", "response.incomplete", "response.failed"):
            yield from self._end(nested(value, "response"))
        elif kind.startswith("response.") and isinstance(value.get("response"), dict):
            yield from self._start(nested(value, "response"))
        elif kind == "response.output_item.added":
            yield from self._added(self._item(value), nested(value, "item"))
        elif kind == "response.output_item.done":
            yield from self._done(self._item(value), nested(value, "item"))
        elif (read := _PIECES.get(kind)) is not None:
            yield from read(self._item(value), value)

    def _ending(self) -> Iterator[ChatEvent]:
        if not self._ended:
            raise broken_off()
        yield from ()

    def _start(self, response: JsonObject) -> Iterator[ChatEvent]:
        if self._started:
            return
        self._started = True
        self._identity = string(response.get("id"))
        others: JsonObject = {key: value for key, value in response.items() if key not in _RESPONSE_FIELDS}
        yield Started(
            self._identity, string(response.get("model")), integer(response.get("created_at"), 0), {NAME: others}
        )

    def _item(self, value: JsonObject) -> _Item:
        return self._items.setdefault(integer(value.get("output_index"), len(self._items)), _Item())

    def _added(self, item: _Item, said: JsonObject) -> Iterator[ChatEvent]:
        kind = string(said.get("type"))
        if kind in CALLS and item.call is None:
            item.call = self._calls
            self._calls += 1
            call_id = call_id_of(said, f"{self._identity}/{item.call}")
            yield ToolCallStarted(0, item.call, call_id, string(said.get("name")), kind == "custom_tool_call")
        if kind in CALLS:
            yield from _arguments(item, arguments_of(said.get(CALLS[kind])), whole=True)

    def _done(self, item: _Item, said: JsonObject) -> Iterator[ChatEvent]:
        if item.done:
            return
        item.done = True
        match said.get("type"):
            case "message":
                for part in objects(said.get("content")):
                    if part.get("type") == "refusal":
                        yield from _refusal(item, string(part.get("refusal")), whole=True)
                text = "".join(string(part.get("text")) for part in objects(said.get("content")))
                yield from _text(item, text, whole=True)
            case "reasoning":
                yield from self._thought(item, said)
            case "function_call" | "custom_tool_call":
                yield from self._added(item, said)
            case "image_generation_call" if said.get("result"):
                yield ImageDelta(0, decode_generated(said))
            case _:
                yield ExtraDelta(0, NAME, {"item": said})

    def _thought(self, item: _Item, said: JsonObject) -> Iterator[ChatEvent]:
        text = reasoning_text(said.get("summary")) or reasoning_text(said.get("content"))
        if text and not item.thought:
            yield ReasoningDelta(0, text, signer=NAME)
        read = read_encrypted(string(said.get("encrypted_content")) or None)
        if read.signature or read.redacted:
            yield ReasoningDelta(0, "", read.signature, read.redacted, read.signer)

    def _end(self, response: JsonObject) -> Iterator[ChatEvent]:
        if (failure := failure_of(response)) is not None:
            raise failure
        if not isinstance(response.get("output"), list) and not self._started:
            raise upstream_broke("it has no output")
        yield from self._start(response)
        for index, said in enumerate(objects(response.get("output"))):
            yield from self._done(self._items.setdefault(index, _Item()), said)
        self._ended = True
        yield Finished(0, finish_of(response, tool_calls=self._calls > 0))
        usage = read_usage(response.get("usage"))
        if usage is not None:
            yield UsageReported(usage)
        yield Ended()


def _rest(told: str, said: str, *, whole: bool) -> str:
    """What is new in ``said``; ``whole``: it is everything so far, not the next piece."""
    if not whole:
        return said
    return said[len(told) :] if said.startswith(told) else ""


def _text(item: _Item, said: str, *, whole: bool) -> Iterator[ChatEvent]:
    if new := _rest(item.text, said, whole=whole):
        item.text += new
        yield TextDelta(0, new)


def _refusal(item: _Item, said: str, *, whole: bool) -> Iterator[ChatEvent]:
    if new := _rest(item.refusal, said, whole=whole):
        item.refusal += new
        yield RefusalDelta(0, new)


def _arguments(item: _Item, said: str, *, whole: bool) -> Iterator[ChatEvent]:
    if item.call is not None and (new := _rest(item.arguments, said, whole=whole)):
        item.arguments += new
        yield ToolCallDelta(0, item.call, new)


def _thinking(item: _Item, value: JsonObject, kind: str, index: str) -> Iterator[ChatEvent]:
    """Paragraphs are told apart by an empty line."""
    text = string(value.get("delta"))
    if not text:
        return
    part = (kind, integer(value.get(index), 0))
    if item.part is not None and item.part != part:
        text = "\n\n" + text
    item.part = part
    item.thought += text
    yield ReasoningDelta(0, text, signer=NAME)


_Piece = Callable[[_Item, JsonObject], Iterator[ChatEvent]]

_PIECES: dict[str, _Piece] = {
    "response.output_text.delta": lambda item, value: _text(item, string(value.get("delta")), whole=False),
    "response.refusal.delta": lambda item, value: _refusal(item, string(value.get("delta")), whole=False),
    "response.refusal.done": lambda item, value: _refusal(item, string(value.get("refusal")), whole=True),
    "response.function_call_arguments.delta": lambda item, value: _arguments(
        item, string(value.get("delta")), whole=False
    ),
    "response.function_call_arguments.done": lambda item, value: _arguments(
        item, string(value.get("arguments")), whole=True
    ),
    "response.custom_tool_call_input.delta": lambda item, value: _arguments(
        item, string(value.get("delta")), whole=False
    ),
    "response.custom_tool_call_input.done": lambda item, value: _arguments(
        item, string(value.get("input")), whole=True
    ),
    "response.reasoning_summary_text.delta": lambda item, value: _thinking(item, value, "summary", "summary_index"),
    "response.reasoning_text.delta": lambda item, value: _thinking(item, value, "text", "content_index"),
}
"""Events about a piece of an item. (A text that comes only with its ``done`` is told with its item's.)"""

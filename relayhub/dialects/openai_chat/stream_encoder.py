"""Events → a streamed answer, written by the book: see the rules in the tests."""

from __future__ import annotations

from collections.abc import Iterable

import orjson

from relayhub.dialects.codec import ClientView
from relayhub.dialects.fields import nested
from relayhub.dialects.openai_chat.images import IMAGES, image_item, image_text
from relayhub.dialects.openai_chat.messages import reasoning_field
from relayhub.dialects.openai_chat.parts import NAME
from relayhub.dialects.openai_chat.reply import reply_id
from relayhub.dialects.openai_chat.signed import DETAILS, call_fields, details
from relayhub.dialects.openai_chat.usage import write_usage
from relayhub.dialects.runs import HERE, Piece, RunWriter, WriteMore, around
from relayhub.types.chat import (
    ChatEvent,
    Ended,
    ExtraDelta,
    Finished,
    ImageDelta,
    ImageForm,
    ImagePart,
    ReasoningDelta,
    ReasoningPart,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)
from relayhub.types.json import JsonObject
from relayhub.types.usage import Usage

TERMINAL = b"data: [DONE]\n\n"


class ChatStreamEncoder(RunWriter):
    """See :class:`relayhub.dialects.codec.StreamEncoder`. Every chunk has the same id, time and model; the role stands
    in a choice's first delta only, a call's id, type and name in its first fragment only."""

    def __init__(self, view: ClientView) -> None:
        self._view = view
        self._include_usage = view.envelope.include_usage
        self._usage: Usage | None = None
        self._head: JsonObject = {}
        self._spoken: set[int] = set()
        """Choices that have had their role."""
        self._custom: set[tuple[int, int]] = set()
        """Calls (choice, index) of custom tools, whose fragments have another shape."""
        self._thought: dict[int, str] = {}
        """Thinking of each choice that has had no signature yet."""
        self._extra: ExtraDelta | None = None
        """Waits for the next chunk of its choice, with which it came from the upstream."""

    def encode(self, events: Iterable[ChatEvent]) -> bytes:
        return b"".join([self._event(event) for event in events]) + self._flush()

    def run_of(self, piece: Piece) -> WriteMore | None:
        """Only of what is written without being remembered."""
        if self._extra is not None or piece.choice not in self._spoken:
            return None
        match piece:
            case TextDelta(choice):
                return around(self._delta(choice, {"content": HERE}))
            case ToolCallDelta(choice, index):
                return around(self._arguments(choice, index, HERE))
            case _:
                return None

    def finish(self) -> bytes:
        """Usage is never invented: without a report there is no usage chunk."""
        if not self._include_usage or self._usage is None:
            return TERMINAL
        return _frame({**self._chunk(), "choices": [], "usage": write_usage(self._usage)}) + TERMINAL

    def _event(self, event: ChatEvent) -> bytes:
        match event:
            case Started():
                self._start(event)
            case UsageReported(usage):
                self._usage = usage
            case TextDelta(choice, text):
                return self._delta(choice, {"content": text})
            case ReasoningDelta():
                return self._reasoning(event)
            case ImageDelta(choice, image):
                return self._image(choice, image)
            case RefusalDelta(choice, text):
                return self._delta(choice, {"refusal": text})
            case ToolCallStarted():
                return self._call(event)
            case ToolCallDelta(choice, index, arguments):
                return self._arguments(choice, index, arguments)
            case ExtraDelta(_, dialect) if dialect == NAME:
                flushed = self._flush()
                self._extra = event
                return flushed
            case Finished(choice, reason):
                return self._delta(choice, {}, {"finish_reason": reason.value})
            case ExtraDelta() | Ended():
                pass
        return b""

    def _start(self, event: Started) -> None:
        self._head = {
            "id": event.id or reply_id(self._view),
            "object": "chat.completion.chunk",
            "created": event.created or self._view.created,
            "model": self._view.model,
            **nested(event.extras, NAME),
        }

    def _chunk(self) -> JsonObject:
        return self._head or {"id": "", "object": "chat.completion.chunk", "created": 0, "model": self._view.model}

    def _call(self, event: ToolCallStarted) -> bytes:
        kind, field = ("custom", "input") if event.custom else ("function", "arguments")
        if event.custom:
            self._custom.add((event.choice, event.index))
        inner: JsonObject = {"name": event.name, field: ""}
        call: JsonObject = {"index": event.index, "id": event.id, "type": kind, kind: inner, **call_fields(event)}
        return self._delta(event.choice, {"tool_calls": [call]})

    def _reasoning(self, event: ReasoningDelta) -> bytes:
        """The text as it comes; once its signature is there, both together."""
        choice = event.choice
        text = self._thought.pop(choice, "") + event.text
        signed = details([ReasoningPart(text, event.signature, event.redacted, event.signer)])
        if not signed:
            self._thought[choice] = text
        delta: JsonObject = {reasoning_field(event.wire_field): event.text} if event.text else {}
        if signed:
            delta[DETAILS] = signed
        return self._delta(choice, delta) if delta else b""

    def _image(self, choice: int, image: ImagePart) -> bytes:
        form = self._view.image_form
        delta: JsonObject = {}
        if form is not ImageForm.INLINE:
            delta["content"] = image_text(image)
        if form is not ImageForm.TEXT:
            delta[IMAGES] = [image_item(image)]
        return self._delta(choice, delta)

    def _arguments(self, choice: int, index: int, text: str) -> bytes:
        kind, field = ("custom", "input") if (choice, index) in self._custom else ("function", "arguments")
        return self._delta(choice, {"tool_calls": [{"index": index, kind: {field: text}}]})

    def _flush(self) -> bytes:
        """The waiting extras in a chunk of their own."""
        extra = self._extra
        return b"" if extra is None else self._delta(extra.choice, {})

    def _delta(self, choice: int, delta: JsonObject, around: JsonObject | None = None) -> bytes:
        extra = self._extra
        if extra is not None and extra.choice != choice:
            return self._flush() + self._delta(choice, delta, around)
        if extra is not None:
            self._extra = None
            delta = {**nested(extra.values, "delta"), **delta}
            around = {**nested(extra.values, "choice"), **(around or {})}
        if choice not in self._spoken:
            self._spoken.add(choice)
            delta = {"role": "assistant", "content": None if "tool_calls" in delta else "", **delta}
        value: JsonObject = {
            "index": choice,
            "delta": delta,
            "logprobs": None,
            "finish_reason": None,
            **(around or {}),
        }
        chunk: JsonObject = {**self._chunk(), "choices": [value]}
        if self._include_usage:
            chunk["usage"] = None
        return _frame(chunk)


def _frame(chunk: JsonObject) -> bytes:
    return b"data: " + orjson.dumps(chunk) + b"\n\n"

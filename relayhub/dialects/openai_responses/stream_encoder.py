"""Events → a streamed answer: items one after the other, each opened, told and closed by the book."""

from __future__ import annotations

from collections.abc import Iterable

import orjson

from relayhub.dialects.call_queue import CallQueue
from relayhub.dialects.codec import ClientView
from relayhub.dialects.fields import nested
from relayhub.dialects.openai_responses.finish import ending_fields, is_cut
from relayhub.dialects.openai_responses.images import generated_item
from relayhub.dialects.openai_responses.items import CALLS, summary_parts
from relayhub.dialects.openai_responses.kept import NAME
from relayhub.dialects.openai_responses.marks import Opaque, write_encrypted
from relayhub.dialects.openai_responses.output import Shown, call_item, message_item
from relayhub.dialects.openai_responses.response import new_response, shown_to
from relayhub.dialects.openai_responses.usage import write_usage
from relayhub.dialects.runs import Piece, RunWriter, WriteMore
from relayhub.types.chat import (
    ChatEvent,
    ExtraDelta,
    Finished,
    FinishReason,
    ImageDelta,
    ImagePart,
    ReasoningDelta,
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

_TEXT, _REFUSAL = "output_text", "refusal"


class ResponsesStreamEncoder(RunWriter):
    """See :class:`relayhub.dialects.codec.StreamEncoder`. Of several choices the first is shown."""

    def __init__(self, view: ClientView) -> None:
        self._view = view
        self._response: JsonObject = new_response(view, view.created, "")
        self._shown: Shown = shown_to(view, "")
        self._items: list[Json] = []
        self._open: _OpenMessage | _OpenReasoning | _OpenCall | None = None
        self._calls = CallQueue()
        self._reason = FinishReason.STOP
        self._usage: Usage | None = None
        self._number = 0
        self._out: list[bytes] = []

    def encode(self, events: Iterable[ChatEvent]) -> bytes:
        for event in events:
            self._event(event)
        return self._taken()

    def run_of(self, piece: Piece) -> WriteMore | None:
        """Its frames are numbered, and what was said is told once more at the end."""
        match piece:
            case TextDelta(0) if isinstance(self._open, _OpenMessage) and self._open.kind == _TEXT:
                return self._say_more
            case _:
                return None

    def _say_more(self, text: str) -> bytes:
        self._say(_TEXT, text)
        return self._taken()

    def finish(self) -> bytes:
        self._close_calls()
        ending = ending_fields(self._reason)
        usage: Json = None if self._usage is None else write_usage(self._usage)
        response: JsonObject = {**self._response, **ending, "output": self._items, "usage": usage}
        self._write(f"response.{ending['status']}", {"response": response})
        return self._taken()

    def _taken(self) -> bytes:
        out, self._out = self._out, []
        return b"".join(out)

    def _write(self, kind: str, values: JsonObject) -> None:
        event = {"type": kind, "sequence_number": self._number, **values}
        self._number += 1
        self._out.append(b"event: " + kind.encode() + b"\ndata: " + orjson.dumps(event) + b"\n\n")

    def _event(self, event: ChatEvent) -> None:
        match event:
            case Started():
                self._start(event)
            case TextDelta(0, text):
                self._say(_TEXT, text)
            case RefusalDelta(0, text):
                self._say(_REFUSAL, text)
            case ReasoningDelta(0):
                self._think(event)
            case ToolCallStarted(0):
                if self._calls.begin(event):
                    self._open_call(event)
            case ToolCallDelta(0, index, arguments):
                if self._calls.streams(index, arguments):
                    self._argue(arguments)
            case ImageDelta(0, image):
                self._image(image)
            case ExtraDelta(0, dialect, values) if dialect == NAME and (item := nested(values, "item")):
                self._close_calls()
                self._whole_item(item)
            case Finished(0, reason):
                self._reason = reason
                self._close_calls(cut=is_cut(reason))
            case UsageReported(usage):
                self._usage = usage
            case _:
                pass

    def _start(self, event: Started) -> None:
        if NAME in event.extras:
            own = nested(event.extras, NAME)
            self._response = {**self._response, "id": event.id, "created_at": event.created, **own}
        else:
            self._response = new_response(self._view, event.created, event.id)
            self._shown = shown_to(self._view, event.id)
        self._response["model"] = self._view.model
        in_progress: JsonObject = {**self._response, "status": "in_progress", "output": [], "usage": None}
        self._write("response.created", {"response": in_progress})
        self._write("response.in_progress", {"response": in_progress})

    @property
    def _index(self) -> int:
        return len(self._items)

    def _item_id(self, prefix: str) -> str:
        return self._shown.item_id(prefix, self._index)

    def _added(self, item: JsonObject) -> None:
        self._write("response.output_item.added", {"output_index": self._index, "item": item})

    def _item_done(self, item: JsonObject) -> None:
        self._write("response.output_item.done", {"output_index": self._index, "item": item})
        self._items.append(item)

    def _whole_item(self, item: JsonObject) -> None:
        self._added(item)
        self._item_done(item)

    def _at(self, item_id: str, **place: int) -> JsonObject:
        return {"item_id": item_id, "output_index": self._index, **place}

    # messages

    def _say(self, kind: str, text: str) -> None:
        if not text:
            return
        if not isinstance(self._open, _OpenMessage):
            self._close_calls()
            self._open = _OpenMessage(self._item_id("msg"))
            self._added(message_item(self._open.id, [], "in_progress"))
        message = self._open
        if message.kind != kind:
            self._close_part(message)
            message.kind, message.text = kind, ""
            self._write(
                "response.content_part.added",
                {**self._at(message.id, content_index=len(message.content)), "part": _part(kind, "")},
            )
        message.text += text
        more: JsonObject = {"logprobs": []} if kind == _TEXT else {}
        place = self._at(message.id, content_index=len(message.content))
        self._write(f"response.{kind}.delta", {**place, "delta": text, **more})

    def _close_part(self, message: _OpenMessage) -> None:
        kind, text = message.kind, message.text
        if kind is None:
            return
        place = self._at(message.id, content_index=len(message.content))
        said: JsonObject = {"text": text, "logprobs": []} if kind == _TEXT else {"refusal": text}
        self._write(f"response.{kind}.done", {**place, **said})
        self._write("response.content_part.done", {**place, "part": _part(kind, text)})
        message.content.append(_part(kind, text))
        message.kind = None

    # thinking

    def _think(self, event: ReasoningDelta) -> None:
        shown = self._shown
        if event.text and shown.summary:
            self._show_thought(event.text)
        signed = event.signature is not None or event.redacted is not None
        if not signed:
            return
        if shown.encrypted:
            thinking = self._reasoning()
            thinking.encrypted = write_encrypted(Opaque(event.signature, event.redacted, event.signer))
        if isinstance(self._open, _OpenReasoning):
            self._close()

    def _reasoning(self) -> _OpenReasoning:
        if not isinstance(self._open, _OpenReasoning):
            self._close_calls()
            self._open = _OpenReasoning(self._item_id("rs"))
            self._added({"id": self._open.id, "type": "reasoning", "summary": []})
        return self._open

    def _show_thought(self, text: str) -> None:
        thinking = self._reasoning()
        place = self._at(thinking.id, summary_index=0)
        if not thinking.text:
            self._write("response.reasoning_summary_part.added", {**place, "part": _summary("")})
        thinking.text += text
        self._write("response.reasoning_summary_text.delta", {**place, "delta": text})

    def _close_reasoning(self, thinking: _OpenReasoning) -> None:
        if thinking.text:
            place = self._at(thinking.id, summary_index=0)
            self._write("response.reasoning_summary_text.done", {**place, "text": thinking.text})
            self._write("response.reasoning_summary_part.done", {**place, "part": _summary(thinking.text)})
        item: JsonObject = {"id": thinking.id, "type": "reasoning", "summary": summary_parts(thinking.text)}
        self._item_done(item if thinking.encrypted is None else {**item, "encrypted_content": thinking.encrypted})

    # tool calls

    def _open_call(self, event: ToolCallStarted) -> None:
        self._close()
        self._open = _OpenCall(self._item_id("fc"), event)
        self._added({**_call(self._open), CALLS[self._open.kind]: "", "status": "in_progress"})

    def _argue(self, text: str) -> None:
        assert isinstance(self._open, _OpenCall)
        if text:
            self._open.text += text
            self._write(self._open.event_kind("delta"), {**self._at(self._open.id), "delta": text})

    def _close_call(self, call: _OpenCall, *, cut: bool) -> None:
        item = _call(call)
        field = CALLS[call.kind]
        said: JsonObject = (
            {field: item[field], "name": call.event.name} if field == "arguments" else {field: item[field]}
        )
        self._write(call.event_kind("done"), {**self._at(call.id), **said})
        self._item_done({**item, "status": "incomplete"} if cut else item)

    def _close_calls(self, *, cut: bool = False) -> None:
        """No call goes on after this. ``cut``: the last item has no proper end."""
        waiting = self._calls.take_waiting()
        self._close(cut=cut and not waiting)
        for position, (event, text) in enumerate(waiting, 1):
            self._open_call(event)
            self._argue(text)
            self._close(cut=cut and position == len(waiting))

    def _image(self, image: ImagePart) -> None:
        self._close_calls()
        item = generated_item(image, self._item_id("ig"))
        self._added({**item, "status": "in_progress", "result": None})
        self._item_done(item)

    def _close(self, *, cut: bool = False) -> None:
        opened, self._open = self._open, None
        match opened:
            case _OpenMessage():
                self._close_part(opened)
                status = "incomplete" if cut else "completed"
                self._item_done(message_item(opened.id, opened.content, status))
            case _OpenReasoning():
                self._close_reasoning(opened)
            case _OpenCall():
                self._close_call(opened, cut=cut)
            case None:
                pass


class _OpenMessage:
    def __init__(self, identity: str) -> None:
        self.id = identity
        self.content: list[Json] = []
        self.kind: str | None = None
        """Of the part that is open."""
        self.text = ""


class _OpenReasoning:
    def __init__(self, identity: str) -> None:
        self.id = identity
        self.text = ""
        self.encrypted: str | None = None


class _OpenCall:
    def __init__(self, identity: str, event: ToolCallStarted) -> None:
        self.id = identity
        self.event = event
        self.kind = "custom_tool_call" if event.custom else "function_call"
        self.text = ""

    def event_kind(self, what: str) -> str:
        return f"response.{self.kind}_{CALLS[self.kind]}.{what}"


def _part(kind: str, text: str) -> JsonObject:
    if kind == _REFUSAL:
        return {"type": _REFUSAL, "refusal": text}
    return {"type": _TEXT, "annotations": [], "logprobs": [], "text": text}


def _summary(text: str) -> JsonObject:
    return {"type": "summary_text", "text": text}


def _call(call: _OpenCall) -> JsonObject:
    event = call.event
    return call_item(ToolCallPart(event.id, event.name, call.text, event.custom), call.id)

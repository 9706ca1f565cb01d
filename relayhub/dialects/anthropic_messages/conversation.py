"""Turns of another dialect in the order that this one demands.

User and assistant take turns, the user first. All results of an assistant turn's calls come in the one user message
after it, before anything else; texts are never empty; a call's arguments are an object.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from relayhub.dialects.anthropic_messages.blocks import encode_thinking, parse_arguments
from relayhub.dialects.anthropic_messages.names import NAME
from relayhub.dialects.anthropic_messages.sources import translate_file, translate_image
from relayhub.dialects.anthropic_messages.target import AnthropicTarget
from relayhub.dialects.fields import invalid_value
from relayhub.dialects.foreign import Dropped, not_expressible
from relayhub.dialects.openai_chat.places import message_path
from relayhub.dialects.tool_ids import to_plain
from relayhub.types.chat import (
    AudioPart,
    ChatRequest,
    FilePart,
    ImagePart,
    Message,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from relayhub.types.errors import invalid_request
from relayhub.types.json import Json, JsonObject

_SYSTEM_ROLES = frozenset({Role.SYSTEM, Role.DEVELOPER})


def translate_messages(request: ChatRequest, target: AnthropicTarget, dropped: Dropped) -> JsonObject:
    """``system`` and ``messages``. Raises ``ClientError`` for what cannot be said."""
    messages = request.messages
    leading = 0
    while leading < len(messages) and messages[leading].role in _SYSTEM_ROLES:
        leading += 1
    system = [text for index in range(leading) if (text := _system_text(messages[index], message_path(request, index)))]
    turns = _Turns(target, dropped)
    for index in range(leading, len(messages)):
        turns.add(messages[index], message_path(request, index))
    out: JsonObject = {"system": "\n\n".join(system)} if system else {}
    return {**out, "messages": turns.close()}


def _system_text(message: Message, path: str) -> str:
    texts = []
    for part in message.parts:
        if not isinstance(part, TextPart):
            raise not_expressible(path, "a system message that is not text")
        texts.append(part.text)
    return "\n\n".join(text for text in texts if text.strip())


class _Turns:
    """Collects messages turn by turn."""

    def __init__(self, target: AnthropicTarget, dropped: Dropped) -> None:
        self._target = target
        self._dropped = dropped
        self._out: list[Json] = []
        self._assistant: list[JsonObject] = []
        self._assistant_path = ""
        self._results: list[JsonObject] = []
        self._user: list[JsonObject] = []
        self._later_system: list[str] = []
        self._waiting: dict[str, str] = {}
        """Calls without a result yet: id as the client knows it → as it is written."""
        self._used: set[str] = set()

    def add(self, message: Message, path: str) -> None:
        self._dropped.note_if("name", message.name)
        if message.role in _SYSTEM_ROLES:
            self._add_system(_system_text(message, path))
        elif message.role is Role.ASSISTANT:
            self._add_assistant(message, path)
        else:
            self._add_user(message, path)

    def close(self) -> list[Json]:
        """Every turn is in."""
        if self._assistant and not self._waiting:
            self._check_prefill()
        self._close_assistant()
        self._close_user("the end of messages")
        if not self._out:
            raise invalid_request(
                "messages must have a user message with content.", code="invalid_value", param="messages"
            )
        return self._out

    def _add_system(self, text: str) -> None:
        if not text:
            return
        if not self._target.mid_system:
            self._close_assistant()
            self._user.append(_text(f"<system>\n{text}\n</system>"))
        elif self._waiting_for_results():
            self._later_system.append(text)  # nothing may stand between calls and their results
        else:
            self._close_assistant()
            self._close_user("")
            self._out.append({"role": "system", "content": text})

    def _waiting_for_results(self) -> bool:
        return bool(self._waiting) or any(block["type"] == "tool_use" for block in self._assistant)

    def _add_assistant(self, message: Message, path: str) -> None:
        if not self._assistant:
            self._close_user(path)
        self._assistant_path = path
        for index, part in _whole_thoughts(message.parts):
            block = self._assistant_block(part, f"{path}.content[{index}]")
            if block is not None:
                self._assistant.append(block)

    def _assistant_block(self, part: Part, path: str) -> JsonObject | None:
        match part:
            case ReasoningPart():
                return encode_thinking(replace(part, extras={}))
            case TextPart(text) | RefusalPart(text):
                return _text(text) if text.strip() else None
            case ToolCallPart(custom=False):
                return self._call(part, path)
            case ToolCallPart():
                raise not_expressible(path, "a call of a custom tool")
            case ImagePart() | FilePart():
                raise not_expressible(path, "media in an assistant turn")
            case _:
                raise not_expressible(path, _kind(part))

    def _call(self, part: ToolCallPart, path: str) -> JsonObject:
        written = to_plain(part.id)
        while written in self._used:
            written += "_"
        self._used.add(written)
        self._waiting[part.id] = written
        return {"type": "tool_use", "id": written, "name": part.name, "input": parse_arguments(part.arguments, path)}

    def _add_user(self, message: Message, path: str) -> None:
        results: list[JsonObject] = []
        others: list[JsonObject] = []
        for index, part in enumerate(message.parts):
            place = f"{path}.content[{index}]"
            if isinstance(part, ToolResultPart):
                results.append(self._result(part, place))
            elif (block := self._user_block(part, place)) is not None:
                others.append(block)
        if results or others:
            self._close_assistant()
        self._results += results
        self._user += others

    def _result(self, part: ToolResultPart, path: str) -> JsonObject:
        call_id = self._waiting.pop(part.call_id, None)
        if call_id is None:
            raise invalid_value(path, f"is a result of {part.call_id!r}, which is no open tool call of the turn before")
        blocks: list[Json] = [
            {**block}
            for index, inner in enumerate(part.parts)
            if (block := self._user_block(inner, f"{path}.content[{index}]")) is not None
        ]
        out: JsonObject = {"type": "tool_result", "tool_use_id": call_id}
        match part.parts:
            case (TextPart(text),) if text:
                out["content"] = text
            case _ if blocks:
                out["content"] = blocks
        return {**out, "is_error": True} if part.is_error else out

    def _user_block(self, part: Part, path: str) -> JsonObject | None:
        match part:
            case TextPart(text) | RefusalPart(text):
                return _text(text) if text.strip() else None
            case ImagePart(media, detail):
                self._dropped.note_if("detail", None if detail == "auto" else detail)
                return translate_image(media, path)
            case FilePart():
                return translate_file(part, path)
            case ReasoningPart():
                return None
            case _:
                raise not_expressible(path, _kind(part))

    def _close_assistant(self) -> None:
        """A user turn begins."""
        if not self._assistant:
            return
        if not self._out:
            raise invalid_request(
                f"{self._assistant_path}: the first turn must be the user's for this model's upstream.",
                code="invalid_value",
                param="messages[0]",
            )
        # Calls last: nothing may stand between them and their results.
        blocks = sorted(self._assistant, key=lambda block: block["type"] == "tool_use")
        self._out.append({"role": "assistant", "content": list(blocks)})
        self._assistant = []

    def _close_user(self, path: str) -> None:
        """An assistant turn begins, or nothing more comes."""
        if self._waiting:
            missing = ", ".join(repr(call_id) for call_id in self._waiting)
            raise invalid_request(
                f"{path}: the tool results for {missing} must come before it.", code="invalid_value", param=path
            )
        content: list[Json] = [*self._results, *self._user]
        if content:
            self._out.append({"role": "user", "content": content})
        self._results, self._user = [], []
        self._out += [{"role": "system", "content": text} for text in self._later_system]
        self._later_system = []

    def _check_prefill(self) -> None:
        path = self._assistant_path
        if not self._target.prefill:
            raise not_expressible(path, "an assistant message at the end")
        last = self._assistant[-1]
        if last["type"] == "text":
            last["text"] = str(last["text"]).rstrip()


def _text(text: str) -> JsonObject:
    return {"type": "text", "text": text}


def _kind(part: Part) -> str:
    match part:
        case OpaquePart(_, kind, _):
            return kind
        case AudioPart():
            return "audio"
        case _:
            return type(part).__name__


def _whole_thoughts(parts: Sequence[Part]) -> Iterator[tuple[int, Part]]:
    """Parts with their indices. A signature covers all of a thought, which a client may give back in the pieces it was
    streamed in: unsigned ones, and the signature with the last."""
    text = ""
    for index, part in enumerate(parts):
        match part:
            case ReasoningPart(signature=None, redacted=None, signer=None):
                text += part.text
                continue
            case ReasoningPart() if part.signer == NAME and part.signature:
                yield index, replace(part, text=text + part.text)
            case _:
                yield index, part
        text = ""

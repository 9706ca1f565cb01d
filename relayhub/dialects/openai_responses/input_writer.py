"""Messages → ``instructions`` and ``input``.

A turn is split into items again in the same order. A system message that stood in ``instructions`` goes back there; so
does the first one of another dialect, if it is one text.
"""

from __future__ import annotations

from collections.abc import Sequence

from relayhub.dialects.foreign import Dropped
from relayhub.dialects.openai_chat.places import message_path
from relayhub.dialects.openai_responses.items import begins_message, encode_result, encode_turn_part, message_item
from relayhub.dialects.openai_responses.kept import NAME, item_fields, kept
from relayhub.dialects.openai_responses.parts import encode_part
from relayhub.types.chat import (
    ChatRequest,
    Message,
    OpaquePart,
    Part,
    RefusalPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from relayhub.types.json import Json, JsonObject


def encode_input(request: ChatRequest, dropped: Dropped) -> JsonObject:
    """``instructions`` and ``input``. Raises ``ClientError`` for what this dialect cannot say."""
    own = request.dialect == NAME
    messages = list(enumerate(request.messages))
    out: JsonObject = {}
    if messages and (text := _instructions(messages[0][1], own=own)) is not None:
        out["instructions"] = text
        del messages[0]
    if len(messages) == 1 and (text := _bare_input(messages[0][1])) is not None:
        return {**out, "input": text}
    writer = _Writer(own, dropped)
    for index, message in messages:
        writer.add(message, message_path(request, index))
    return {**out, "input": writer.items} if writer.items or not own else out


def _instructions(message: Message, *, own: bool) -> str | None:
    match message.parts:
        case (TextPart(text),) if message.role is Role.SYSTEM and message.name is None:
            return text if not own or "instructions" in kept(message.extras) else None
        case _:
            return None


def _bare_input(message: Message) -> str | None:
    match message.parts:
        case (TextPart(text),) if "input" in kept(message.extras):
            return text
        case _:
            return None


class _Writer:
    def __init__(self, own: bool, dropped: Dropped) -> None:
        self.items: list[Json] = []
        self._own = own
        self._dropped = dropped
        self._custom_calls: set[str] = set()

    def add(self, message: Message, path: str) -> None:
        self._dropped.note_if("name", message.name)
        if message.role is Role.ASSISTANT:
            self._turn(message.parts, path)
            return
        rest: list[Part] = []
        for part in message.parts:
            match part:
                case ToolResultPart():
                    item = encode_result(part, path, own=self._own, custom_calls=self._custom_calls)
                    self.items.append(item)
                case OpaquePart(dialect, _, value) if (
                    dialect == NAME and "role" not in value and len(message.parts) == 1
                ):
                    self.items.append(value)
                case _:
                    rest.append(part)
        if rest or not message.parts:
            self._message(message, rest, path)

    def _message(self, message: Message, parts: Sequence[Part], path: str) -> None:
        extras = item_fields(message.extras) if self._own else {}
        if not parts and "content" not in extras:
            return
        role = Role.USER if message.role is Role.TOOL else message.role
        item: JsonObject = {"role": role.value, **extras}
        match parts:
            case []:
                pass
            case [TextPart(text)] if message.plain or not self._own:
                item["content"] = text
            case _:
                numbered = enumerate(parts)
                item["content"] = [encode_part(part, f"{path}.content[{n}]", own=self._own) for n, part in numbered]
        self.items.append(item)

    def _turn(self, parts: Sequence[Part], path: str) -> None:
        spoken: list[TextPart | RefusalPart] = []
        for part in parts:
            if isinstance(part, TextPart | RefusalPart):
                if begins_message(part):
                    self._say(spoken, path)
                spoken.append(part)
                continue
            self._say(spoken, path)
            if isinstance(part, ToolCallPart) and part.custom:
                self._custom_calls.add(part.id)
            if (item := encode_turn_part(part, path, own=self._own)) is not None:
                self.items.append(item)
        self._say(spoken, path)

    def _say(self, parts: list[TextPart | RefusalPart], path: str) -> None:
        said = parts if self._own else [part for part in parts if part.text]
        if said:
            self.items.append(message_item(said, path, own=self._own))
        parts.clear()

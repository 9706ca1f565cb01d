"""``instructions`` and ``input`` as a client sends them → messages.

Consecutive items of the assistant's side become one turn, and its parts keep where they stood.
"""

from __future__ import annotations

from collections.abc import Sequence

from relayhub.dialects.fields import Fields, missing, wrong_type
from relayhub.dialects.openai_responses.items import RESULTS, decode_model_item, decode_result
from relayhub.dialects.openai_responses.kept import NAME, item_extras, keeping, kept
from relayhub.dialects.openai_responses.parts import INPUT_TEXT, OUTPUT_TEXT, decode_part
from relayhub.types.chat import Message, OpaquePart, Part, RefusalPart, Role, TextPart
from relayhub.types.json import Extras, Json, JsonObject

_CLIENT_ITEMS = ("mcp_approval_response", "additional_tools")
"""Items from the client's side whose type does not end like a tool's output."""


def decode_input(instructions: str | None, value: str | list[Json] | None) -> tuple[Message, ...]:
    """Raises ``ClientError`` naming the item."""
    messages: list[Message] = []
    if instructions is not None:
        extras: Extras = {NAME: {"instructions": True}}
        messages.append(Message(Role.SYSTEM, (TextPart(instructions),), plain=True, extras=extras))
    if isinstance(value, str):
        messages.append(Message(Role.USER, (TextPart(value),), plain=True, extras={NAME: {"input": True}}))
    else:
        messages += _Reader().read(value or [])
    return tuple(messages)


class _Reader:
    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._turn: list[Part] = []

    def read(self, items: Sequence[Json]) -> list[Message]:
        for index, item in enumerate(items):
            self._item(item, f"input[{index}]")
        self._end_turn()
        return self._messages

    def _item(self, value: Json, path: str) -> None:
        fields = Fields(value, path)
        assert isinstance(value, dict)
        kind = fields.optional_text("type") if fields.peek("type") is not None else "message"
        if kind == "message":
            self._message(fields, value)
        elif kind in RESULTS:
            self._add(Message(Role.TOOL, (decode_result(kind, fields),)))
        elif kind is not None and (kind.endswith("_output") or kind in _CLIENT_ITEMS):
            self._add(Message(Role.USER, (OpaquePart(NAME, kind, value),)))
        elif kind is not None:
            self._turn += decode_model_item(kind, fields, value)

    def _message(self, fields: Fields, value: JsonObject) -> None:
        if "type" in value:
            fields.keep("type", value["type"])
        role = fields.text("role")
        match role:
            case "assistant":
                self._turn += _decode_spoken(fields, value)
            case "system" | "developer" | "user":
                parts, plain = _decode_content(fields)
                extras = item_extras(fields, ignore=())
                self._add(Message(Role(role), parts, plain=plain, extras=extras))
            case _:
                raise wrong_type(fields.at("role"), "one of system, developer, user, assistant")

    def _add(self, message: Message) -> None:
        self._end_turn()
        self._messages.append(message)

    def _end_turn(self) -> None:
        if self._turn:
            self._messages.append(Message(Role.ASSISTANT, tuple(self._turn)))
            self._turn = []


def _decode_content(fields: Fields, text_type: str = INPUT_TEXT) -> tuple[tuple[Part, ...], bool]:
    """Parts, and whether they stood as a bare string. An empty list stays in the rest."""
    value, path = fields.take("content"), fields.at("content")
    match value:
        case str():
            return (TextPart(value),), True
        case []:
            fields.keep("content", value)
            return (), False
        case list():
            parts = (decode_part(part, f"{path}[{index}]", text_type=text_type) for index, part in enumerate(value))
            return tuple(parts), False
        case None:
            raise missing(path)
        case _:
            raise wrong_type(path, "a string or an array of parts")


def _decode_spoken(fields: Fields, value: JsonObject) -> tuple[Part, ...]:
    parts, plain = _decode_content(fields, OUTPUT_TEXT)
    spoken = [part for part in parts if isinstance(part, TextPart | RefusalPart)]
    if len(spoken) != len(parts):
        other = next(part for part in parts if not isinstance(part, TextPart | RefusalPart))
        kind = other.kind if isinstance(other, OpaquePart) else type(other).__name__
        return (OpaquePart(NAME, kind, value),)
    first = spoken[0] if spoken else TextPart("")
    extras = keeping(first.extras, **kept(first.extras), begins=True, plain=plain, item=dict(fields.rest()))
    marked = TextPart(first.text, extras) if isinstance(first, TextPart) else RefusalPart(first.text, extras)
    return (marked, *spoken[1:])

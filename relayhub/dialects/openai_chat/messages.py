"""Messages, both ways.

A message of this dialect comes back JSON-equal. One that another dialect decoded is put into this one's order: a
``tool`` message per result first, media out of results in a ``user`` message behind them, then the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from relayhub.dialects.fields import Fields, missing, wrong_type
from relayhub.dialects.openai_chat.calls import UNKNOWN_CALL, decode_call, encode_call
from relayhub.dialects.openai_chat.parts import NAME, decode_part, encode_part
from relayhub.dialects.openai_chat.places import message_path
from relayhub.dialects.openai_chat.signed import DETAILS, read_details
from relayhub.types.chat import (
    ChatRequest,
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
from relayhub.types.json import Extras, Json, JsonObject

FUNCTION_MESSAGE = "function_message"
"""Kind of the opaque part that carries a whole message of the legacy role ``function``."""

REASONING_FIELDS = ("reasoning_content", "reasoning")
"""Where compatible upstreams put visible reasoning; the first one found counts."""

Content: TypeAlias = "tuple[tuple[Part, ...], bool, bool]"
"""Parts, whether they stood as a bare string, whether there was an explicit null."""


def decode_messages(values: Sequence[Json]) -> tuple[Message, ...]:
    return tuple(decode_message(value, f"messages[{index}]") for index, value in enumerate(values))


def decode_message(value: Json, path: str) -> Message:
    """Raises ``ClientError`` naming the place below ``path``."""
    fields = Fields(value, path)
    role = fields.text("role")
    match role:
        case "system" | "developer" | "user":
            parts, plain, _ = _decode_content(fields, required=True)
            return Message(Role(role), parts, fields.optional_text("name"), plain, extras=fields.rest())
        case "assistant":
            return _decode_assistant(fields)
        case "tool":
            return _decode_result(fields)
        case "function":
            assert isinstance(value, dict)
            return Message(Role.TOOL, (OpaquePart(NAME, FUNCTION_MESSAGE, value),))
        case _:
            raise wrong_type(fields.at("role"), "one of system, developer, user, assistant, tool")


def _decode_content(fields: Fields, *, required: bool) -> Content:
    present = fields.has("content")
    value = fields.take("content")
    path = fields.at("content")
    match value:
        case str():
            return (TextPart(value),), True, False
        case []:
            fields.keep("content", value)
            return (), False, False
        case list():
            return tuple(decode_part(item, f"{path}[{index}]") for index, item in enumerate(value)), False, False
        case None if required:
            raise missing(path)
        case None:
            return (), False, present
        case _:
            raise wrong_type(path, "a string or an array of parts")


def _decode_assistant(fields: Fields) -> Message:
    content, plain, null_content = _decode_content(fields, required=False)
    parts = (*_decode_reasoning(fields), *content, *_decode_refusal(fields), *_decode_calls(fields))
    return Message(Role.ASSISTANT, parts, fields.optional_text("name"), plain, null_content, fields.rest())


def _decode_reasoning(fields: Fields) -> Iterable[ReasoningPart]:
    """The other field, where both are there (usually with the same text), stays in the extras; so do both where somebody
    has signed the text."""
    if signed := read_details(fields.peek(DETAILS)):
        return signed
    for field in REASONING_FIELDS:
        if isinstance(text := fields.peek(field), str):
            fields.take(field)
            return (ReasoningPart(text, wire_field=field),)
    return ()


def _decode_refusal(fields: Fields) -> Iterable[RefusalPart]:
    """``message.refusal`` stays in the extras as well: that tells it from a refusal among the content parts."""
    text = fields.peek("refusal")
    if text is not None and not isinstance(text, str):
        raise wrong_type(fields.at("refusal"), "a string")
    return () if text is None else (RefusalPart(text),)


def _decode_calls(fields: Fields) -> Iterable[Part]:
    if fields.peek("tool_calls") == []:
        return ()
    path = fields.at("tool_calls")
    calls = fields.optional_list("tool_calls") or ()
    return [decode_call(value, f"{path}[{index}]") for index, value in enumerate(calls)]


def _decode_result(fields: Fields) -> Message:
    call_id = fields.name("tool_call_id")
    if not fields.has("content"):
        raise missing(fields.at("content"))
    parts, plain, null_content = _decode_content(fields, required=False)
    result = ToolResultPart(call_id, parts, plain=plain)
    name = fields.optional_text("name")
    return Message(Role.TOOL, (result,), name, null_content=null_content, extras=fields.rest())


def encode_messages(request: ChatRequest) -> list[Json]:
    if request.dialect == NAME:
        return [_encode_own(message, f"messages[{index}]") for index, message in enumerate(request.messages)]
    writer = _ForeignWriter()
    for index, message in enumerate(request.messages):
        writer.add(message, message_path(request, index))
    writer.flush_media()
    return writer.out


def _encode_own(message: Message, path: str) -> JsonObject:
    match message.parts:
        case (OpaquePart(dialect, kind, value),) if dialect == NAME and kind == FUNCTION_MESSAGE:
            return value
        case (ToolResultPart() as result,):
            return _encode_own_result(message, result, path)
        case _:
            return encode_message(message, path, own=True)


def _encode_own_result(message: Message, result: ToolResultPart, path: str) -> JsonObject:
    out: JsonObject = {"role": "tool", "tool_call_id": result.call_id, **_named(message), **message.extras}
    out["content"] = None if message.null_content else _content(result.parts, result.plain, path, own=True)
    return out


def _named(message: Message) -> JsonObject:
    return {} if message.name is None else {"name": message.name}


def encode_message(message: Message, path: str, *, own: bool) -> JsonObject:
    """One message whose parts are content, reasoning and tool calls."""
    extras: Extras = message.extras if own else {}
    out: JsonObject = {"role": message.role.value, **_named(message), **extras}
    content = _content_parts(message.parts, extras)
    if content or message.plain:
        out["content"] = _content(content, message.plain, path, own=own)
    elif message.null_content or not own:
        out["content"] = None
    calls = [part for part in message.parts if _is_call(part)]
    out.update(_reasoning(message.parts, own=own, calls=bool(calls)))
    if calls:
        out["tool_calls"] = [
            encode_call(part, f"{path}.tool_calls[{index}]", own=own)
            for index, part in enumerate(calls)
            if isinstance(part, ToolCallPart | OpaquePart)
        ]
    return out


def _is_call(part: Part) -> bool:
    return isinstance(part, ToolCallPart) or (isinstance(part, OpaquePart) and part.kind == UNKNOWN_CALL)


def _content_parts(parts: Iterable[Part], extras: Extras) -> list[Part]:
    """What stands in ``content``; one refusal that is written as ``message.refusal`` does not."""
    content: list[Part] = [part for part in parts if not (_is_call(part) or isinstance(part, ReasoningPart))]
    message_refusal = extras.get("refusal")
    if isinstance(message_refusal, str):
        last = next((part for part in reversed(content) if part == RefusalPart(message_refusal)), None)
        content = [part for part in content if part is not last]
    return content


def _content(parts: Sequence[Part], plain: bool, path: str, *, own: bool) -> Json:
    match parts:
        case [TextPart(text)] if plain or not own:
            return text
        case _:
            return [encode_part(part, f"{path}.content[{index}]", own=own) for index, part in enumerate(parts)]


def _reasoning(parts: Iterable[Part], *, own: bool, calls: bool) -> JsonObject:
    # From another dialect only on turns with tool calls: there some upstreams demand it, elsewhere others refuse it.
    if not own and not calls:
        return {}
    thoughts = [part for part in parts if isinstance(part, ReasoningPart)]
    return reasoning_fields(part for part in thoughts if (part.wire_field != DETAILS if own else part.text))


def reasoning_fields(parts: Iterable[ReasoningPart]) -> JsonObject:
    """Each text under the field it came from, else under the commonest one."""
    texts: dict[str, list[str]] = {}
    for part in parts:
        texts.setdefault(reasoning_field(part.wire_field), []).append(part.text)
    return {field: "\n\n".join(found) for field, found in texts.items()}


def reasoning_field(wire_field: str | None) -> str:
    return wire_field if wire_field in REASONING_FIELDS else REASONING_FIELDS[0]


class _ForeignWriter:
    """Rewrites turns of another dialect in this one's order."""

    def __init__(self) -> None:
        self.out: list[Json] = []
        self._media: list[Json] = []

    def add(self, message: Message, path: str) -> None:
        rest: list[Part] = []
        for part in message.parts:
            if isinstance(part, ToolResultPart):
                self._add_result(part, path)
            else:
                rest.append(part)
        if not rest:
            return
        self.flush_media()
        role = Role.USER if message.role is Role.TOOL else message.role
        self.out.append(encode_message(Message(role, tuple(rest), message.name), path, own=False))

    def _add_result(self, result: ToolResultPart, path: str) -> None:
        texts = [part.text for part in result.parts if isinstance(part, TextPart)]
        others = [part for part in result.parts if not isinstance(part, TextPart)]
        text = ("Error: " if result.is_error else "") + "\n".join(texts)
        self.out.append({"role": "tool", "tool_call_id": result.call_id, "content": text})
        self._media += [encode_part(part, path, own=False) for part in others]

    def flush_media(self) -> None:
        """Media of results follow the whole run of ``tool`` messages, which must not be interrupted."""
        if self._media:
            self.out.append({"role": "user", "content": self._media})
            self._media = []

"""Messages of this dialect, both ways: they come back JSON-equal."""

from __future__ import annotations

from collections.abc import Sequence

from relayhub.dialects.anthropic_messages.blocks import decode_blocks, decode_content, encode_blocks
from relayhub.dialects.anthropic_messages.names import BILLING_HEADER
from relayhub.dialects.fields import Fields, missing, wrong_type
from relayhub.types.chat import Message, Role, TextPart
from relayhub.types.json import Json, JsonObject

ROLES = ("user", "assistant", "system")


def decode_system(fields: Fields) -> tuple[Message, ...]:
    """The system prompt as the first message, if there is one."""
    match fields.peek("system"):
        case str(text):
            fields.take("system")
            return (Message(Role.SYSTEM, (TextPart(text),), plain=True),)
        case [] | None:
            return ()
        case list(values):
            fields.take("system")
            parts = decode_blocks([value for value in values if not _is_billing(value)], "system")
            return (Message(Role.SYSTEM, parts),) if parts else ()
        case _:
            raise wrong_type("system", "a string or an array of text blocks")


def _is_billing(block: Json) -> bool:
    text = block.get("text") if isinstance(block, dict) else None
    return isinstance(text, str) and text.startswith(BILLING_HEADER)


def decode_messages(values: Sequence[Json]) -> tuple[Message, ...]:
    """Raises ``ClientError`` naming the place."""
    return tuple(_decode_message(value, f"messages[{index}]") for index, value in enumerate(values))


def _decode_message(value: Json, path: str) -> Message:
    fields = Fields(value, path)
    role = fields.text("role")
    if role not in ROLES:
        raise wrong_type(fields.at("role"), "one of user, assistant, system")
    if fields.peek("content") is None:
        raise missing(fields.at("content"))
    parts, plain = decode_content(fields)
    return Message(Role(role), parts, plain=plain, extras=fields.rest())


def encode_own(messages: Sequence[Message]) -> JsonObject:
    """``system`` and ``messages``. A system message in front is the system prompt."""
    first = messages[0] if messages and messages[0].role is Role.SYSTEM else None
    turns = messages if first is None else messages[1:]
    out: JsonObject = {} if first is None else {"system": _content(first, "system")}
    return {
        **out,
        "messages": [_encode_message(message, f"messages[{index}]") for index, message in enumerate(turns)],
    }


def _encode_message(message: Message, path: str) -> JsonObject:
    out: JsonObject = {"role": message.role.value, **message.extras}
    if message.parts:
        out["content"] = _content(message, f"{path}.content")
    return out


def _content(message: Message, path: str) -> Json:
    match message.parts:
        case (TextPart(text),) if message.plain:
            return text
        case parts:
            return encode_blocks(parts, path)

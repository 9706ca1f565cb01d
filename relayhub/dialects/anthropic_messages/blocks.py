"""Content blocks, both ways."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from relayhub.dialects import signatures
from relayhub.dialects.anthropic_messages.names import NAME
from relayhub.dialects.anthropic_messages.sources import decode_document, decode_image, encode_document, encode_image
from relayhub.dialects.fields import Fields, invalid_value, missing, wrong_type
from relayhub.dialects.foreign import not_expressible
from relayhub.dialects.tool_ids import from_plain, to_plain
from relayhub.types.chat import (
    FilePart,
    ImagePart,
    OpaquePart,
    Part,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from relayhub.types.json import Json, JsonObject


def decode_blocks(values: Sequence[Json], path: str) -> tuple[Part, ...]:
    """Raises ``ClientError`` naming the place."""
    return tuple(decode_block(value, f"{path}[{index}]") for index, value in enumerate(values))


def decode_block(value: Json, path: str) -> Part:
    """A block that the hub has no word for becomes an :class:`OpaquePart` of this dialect."""
    fields = Fields(value, path)
    kind = fields.name("type")
    part: Part | None = None
    match kind:
        case "text":
            part = TextPart(fields.text("text"), fields.rest())
        case "image":
            part = decode_image(fields)
        case "document":
            part = decode_document(fields)
        case "tool_use":
            part = _decode_call(fields)
        case "tool_result":
            part = _decode_result(fields)
        case "thinking" | "redacted_thinking":
            part = _decode_thinking(fields, kind)
    assert isinstance(value, dict)
    return OpaquePart(NAME, kind, value) if part is None else part


def _decode_call(fields: Fields) -> ToolCallPart:
    call_id, name = fields.name("id"), fields.name("name")
    if fields.peek("input") is None:
        raise missing(fields.at("input"))
    arguments = orjson.dumps(fields.optional_object("input")).decode()
    return ToolCallPart(from_plain(call_id), name, arguments, extras=fields.rest())


def _decode_result(fields: Fields) -> ToolResultPart:
    """``is_error: false`` and an empty list stay in the rest, so that they are written again."""
    call_id = from_plain(fields.name("tool_use_id"))
    is_error = fields.peek("is_error") is not False and bool(fields.optional_flag("is_error"))
    parts, plain = decode_content(fields)
    return ToolResultPart(call_id, parts, is_error, plain, fields.rest())


def decode_content(fields: Fields) -> tuple[tuple[Part, ...], bool]:
    """The parts, and whether they stood as a bare string. An empty list and ``null`` stay in the rest."""
    path = fields.at("content")
    match fields.peek("content"):
        case str(text):
            fields.take("content")
            return (TextPart(text),), True
        case [] | None:
            return (), False
        case list(values):
            fields.take("content")
            return decode_blocks(values, path), False
        case _:
            raise wrong_type(path, "a string or an array of content blocks")


def _decode_thinking(fields: Fields, kind: str) -> ReasoningPart:
    if kind == "redacted_thinking":
        signer, data = _unmarked(fields.name("data"))
        return ReasoningPart("", redacted=data, signer=signer, extras=fields.rest())
    text, signature = fields.text("thinking"), fields.optional_text("signature")
    if not signature:
        return ReasoningPart(text, signature=signature, extras=fields.rest())
    signer, signature = _unmarked(signature)
    return ReasoningPart(text, signature=signature, signer=signer, extras=fields.rest())


def _unmarked(value: str) -> tuple[str, str]:
    """Who made an opaque value that a client brings back, and the value as its maker wrote it."""
    return signatures.unmark(value) or (NAME, value)


def encode_blocks(parts: Sequence[Part], path: str) -> list[Json]:
    """Parts of this dialect as they came, but for thinking that the upstream could not verify."""
    blocks = (encode_block(part, f"{path}[{index}]") for index, part in enumerate(parts))
    return [block for block in blocks if block is not None]


def encode_block(part: Part, path: str) -> JsonObject | None:
    """``None`` for thinking that was signed by somebody else, or by nobody."""
    match part:
        case TextPart(text, extras):
            return {"type": "text", "text": text, **extras}
        case ImagePart():
            return encode_image(part, part.extras)
        case FilePart():
            return encode_document(part, part.extras)
        case ToolCallPart(call_id, name, arguments):
            given = parse_arguments(arguments, path)
            return {"type": "tool_use", "id": to_plain(call_id), "name": name, "input": given, **part.extras}
        case ToolResultPart():
            return _encode_result(part, path)
        case ReasoningPart():
            return encode_thinking(part)
        case OpaquePart(dialect, _, value) if dialect == NAME:
            return value
        case OpaquePart(_, kind, _):
            raise not_expressible(path, kind)
        case _:
            raise not_expressible(path, type(part).__name__)


def _encode_result(part: ToolResultPart, path: str) -> JsonObject:
    out: JsonObject = {"type": "tool_result", "tool_use_id": to_plain(part.call_id), **part.extras}
    match part.parts:
        case (TextPart(text),) if part.plain:
            out["content"] = text
        case ():
            pass
        case parts:
            out["content"] = encode_blocks(parts, f"{path}.content")
    if part.is_error:
        out["is_error"] = True
    return out


def encode_thinking(part: ReasoningPart) -> JsonObject | None:
    """For the upstream that signed it; ``None`` where it is not this dialect's, or not signed."""
    if part.signer != NAME:
        return None
    if part.redacted:
        return {"type": "redacted_thinking", "data": part.redacted, **part.extras}
    if part.signature:
        return {"type": "thinking", "thinking": part.text, "signature": part.signature, **part.extras}
    return None


def parse_arguments(text: str, path: str) -> JsonObject:
    """A tool call's arguments as the object that ``input`` must be. Raises ``ClientError``."""
    value = arguments_object(text)
    if value is None:
        raise invalid_value(path, "has arguments that are not a JSON object, which this model's upstream demands")
    return value


def arguments_object(text: str) -> JsonObject | None:
    """``None`` if this is anything but a JSON object; no text at all means no arguments."""
    if not text.strip():
        return {}
    try:
        value: Json = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None

"""Parts of contents of this dialect, both ways: they come back JSON-equal."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from relayhub.dialects.fields import Fields, invalid_value
from relayhub.dialects.foreign import not_expressible
from relayhub.dialects.gemini_generate.media import decode_file, decode_inline, encode_media
from relayhub.dialects.gemini_generate.names import ALONE, NAME, ON_PART, SIGNATURE, kept, said_only
from relayhub.dialects.gemini_generate.signed import own_signature, read_signature
from relayhub.types.chat import (
    AudioPart,
    FilePart,
    ImagePart,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from relayhub.types.json import Json, JsonObject

_DATA = (
    "functionCall",
    "functionResponse",
    "inlineData",
    "fileData",
    "executableCode",
    "codeExecutionResult",
    "toolCall",
    "toolResponse",
)
_CALLS = ("functionCall", "functionResponse")


def kind_of(value: JsonObject) -> str:
    """The name of the part's data field."""
    for name in _DATA:
        if name in value:
            return name
    return "text" if "text" in value else next((name for name in value if name != SIGNATURE), "empty")


def decode_plain_part(value: Json, path: str) -> tuple[Part, ...]:
    """A part that is neither call nor result: the part, and behind it its signature, if there is one. What the hub has
    no word for becomes an :class:`OpaquePart` of this dialect."""
    fields = Fields(value, path)
    assert isinstance(value, dict)
    kind = kind_of(value)
    thought = fields.peek("thought") is True
    if kind == "text" and thought:
        return (_decode_thought(fields),)
    if thought or kind not in ("text", "inlineData", "fileData"):
        return (OpaquePart(NAME, kind, value),)
    signature = fields.optional_text(SIGNATURE)
    part: Part
    match kind:
        case "text":
            part = TextPart(fields.text("text"), fields.rest())
        case "inlineData":
            part = decode_inline(fields, value)
        case _:
            part = decode_file(fields, value)
    if not signature or isinstance(part, OpaquePart):
        return (part,)
    read = read_signature(signature)
    if part == TextPart(""):
        return (ReasoningPart("", read.signature, read.redacted, read.signer, ALONE),)
    return part, ReasoningPart("", read.signature, read.redacted, read.signer, ON_PART)


def _decode_thought(fields: Fields) -> ReasoningPart:
    fields.take("thought")
    read = read_signature(fields.optional_text(SIGNATURE))
    return ReasoningPart(fields.text("text"), read.signature, read.redacted, read.signer, extras=fields.rest())


def encode_parts(parts: Sequence[Part], names: dict[str, str], path: str) -> list[Json]:
    """Parts of this dialect as they came, but for signatures of other upstreams. ``names``: call id → function, which
    is filled from the calls and read for the results."""
    out: list[Json] = []
    last: JsonObject | None = None
    for index, part in enumerate(parts):
        if isinstance(part, ReasoningPart) and part.wire_field == ON_PART and last is not None:
            if signature := own_signature(part):
                last[SIGNATURE] = signature
            continue
        last = _encode_part(part, names, f"{path}[{index}]")
        if last is not None:
            out.append(last)
    return out


def _encode_part(part: Part, names: dict[str, str], path: str) -> JsonObject | None:
    match part:
        case TextPart(text, extras):
            return {"text": text, **extras}
        case RefusalPart(text):
            return {"text": text}
        case ReasoningPart():
            return encode_thought(part)
        case ImagePart() | AudioPart() | FilePart():
            return encode_media(part, part.extras)
        case ToolCallPart():
            names[part.id] = part.name
            return _encode_call(part, path)
        case ToolResultPart():
            return _encode_result(part, names, path)
        case OpaquePart(dialect, _, value) if dialect == NAME:
            return value
        case OpaquePart(_, kind, _):
            raise not_expressible(path, kind)


def encode_thought(part: ReasoningPart) -> JsonObject | None:
    """For an upstream of this dialect; ``None`` for thinking that another has signed, or a signature without a
    place."""
    if part.signer not in (None, NAME):
        return None
    signature = own_signature(part)
    if part.wire_field in (ALONE, ON_PART):
        return {"text": "", SIGNATURE: signature} if signature else None
    signed: JsonObject = {SIGNATURE: signature} if signature else {}
    return {"text": part.text, "thought": True, **part.extras, **signed}


def _encode_call(part: ToolCallPart, path: str) -> JsonObject:
    spelled = kept(part.extras)
    inner: JsonObject = {} if spelled.get("unnamed") else {"id": part.id}
    inner["name"] = part.name
    if part.arguments:
        inner["args"] = parse_arguments(part.arguments, path)
    return _around("functionCall", inner, part.extras, own_signature(part))


def _around(key: str, inner: JsonObject, extras: JsonObject | object, signature: str | None) -> JsonObject:
    """A part with its data and what else it had."""
    others = said_only(extras) if isinstance(extras, dict) else {}
    more = others.pop(key, None)
    out: JsonObject = {key: {**inner, **more} if isinstance(more, dict) else inner, **others}
    if signature:
        out[SIGNATURE] = signature
    return out


def _encode_result(part: ToolResultPart, names: dict[str, str], path: str) -> JsonObject:
    spelled = kept(part.extras)
    name = spelled.get("name") or names.get(part.call_id)
    if not isinstance(name, str):
        raise invalid_value(path, f"is a result of {part.call_id!r}, which is no call of this conversation")
    inner: JsonObject = {} if spelled.get("unnamed") else {"id": part.call_id}
    inner["name"] = name
    texts = [inner_part for inner_part in part.parts if isinstance(inner_part, TextPart)]
    others = [inner_part for inner_part in part.parts if not isinstance(inner_part, TextPart)]
    if texts:
        inner["response"] = encode_response(texts[0].text, is_error=part.is_error, plain=part.plain)
    if others:
        inner["parts"] = encode_parts(others, {}, f"{path}.functionResponse.parts")
    return _around("functionResponse", inner, part.extras, None)


def encode_response(text: str, *, is_error: bool, plain: bool) -> JsonObject:
    """``response`` must be an object: one that the text is, unless ``plain``; else the text in one."""
    value = None if plain else json_object(text)
    return value if value is not None else {"error" if is_error else "output": text}


def parse_arguments(text: str, path: str) -> JsonObject:
    """A call's arguments as the object that ``args`` must be. Raises ``ClientError``."""
    if not text.strip():
        return {}
    value = json_object(text)
    if value is None:
        raise invalid_value(path, "has arguments that are not a JSON object, which this model's upstream demands")
    return value


def json_object(text: str) -> JsonObject | None:
    """``None`` if this is anything but a JSON object."""
    try:
        value: Json = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None

"""Items of a conversation as a client sends them → parts, and parts → items as an upstream takes them."""

from __future__ import annotations

from collections.abc import Iterable

from relayhub.dialects.fields import Fields, missing, nested, wrong_type
from relayhub.dialects.foreign import not_expressible
from relayhub.dialects.openai_chat.upstream_json import objects, string
from relayhub.dialects.openai_responses.images import decode_generated
from relayhub.dialects.openai_responses.kept import NAME, item_extras, item_fields, keeping, kept, said_only
from relayhub.dialects.openai_responses.marks import read_encrypted
from relayhub.dialects.openai_responses.parts import OUTPUT_TEXT, decode_part, encode_part
from relayhub.types.chat import OpaquePart, Part, ReasoningPart, RefusalPart, TextPart, ToolCallPart, ToolResultPart
from relayhub.types.json import Json, JsonObject

CALLS = {"function_call": "arguments", "custom_tool_call": "input"}
"""Item type → the field with what the model wrote."""

RESULTS = ("function_call_output", "custom_tool_call_output")


def decode_model_item(kind: str, fields: Fields, value: JsonObject) -> tuple[Part, ...]:
    """An item that a model has made, other than a message."""
    match kind:
        case "reasoning":
            return (decode_reasoning(fields),)
        case "function_call" | "custom_tool_call":
            return (_decode_call(kind, fields),)
        case "image_generation_call" if isinstance(value.get("result"), str) and value["result"]:
            return (decode_generated(value),)
        case _:
            return (OpaquePart(NAME, kind, value),)


def decode_reasoning(fields: Fields) -> ReasoningPart:
    text = reasoning_text(fields.peek("summary")) or reasoning_text(fields.peek("content"))
    encrypted = fields.optional_text("encrypted_content")
    fields.take("type")
    rest = dict(fields.rest())
    read = read_encrypted(encrypted)
    return ReasoningPart(text, read.signature, read.redacted, read.signer, extras=keeping({}, item=rest))


def reasoning_text(value: Json) -> str:
    """Paragraphs of a summary, or of open thinking, as one text."""
    return "\n\n".join(text for entry in objects(value) if (text := string(entry.get("text"))))


def _decode_call(kind: str, fields: Fields) -> ToolCallPart:
    call_id, name, text = fields.name("call_id"), fields.name("name"), fields.text(CALLS[kind])
    return ToolCallPart(call_id, name, text, kind == "custom_tool_call", extras=item_extras(fields))


def decode_result(kind: str, fields: Fields) -> ToolResultPart:
    call_id = fields.name("call_id")
    output = fields.take("output")
    path = fields.at("output")
    match output:
        case str():
            parts: tuple[Part, ...] = (TextPart(output),)
        case list():
            parts = tuple(decode_part(part, f"{path}[{index}]") for index, part in enumerate(output))
        case None:
            raise missing(path)
        case _:
            raise wrong_type(path, "a string or an array of parts")
    extras = item_extras(fields, custom=kind == "custom_tool_call_output")
    return ToolResultPart(call_id, parts, plain=isinstance(output, str), extras=extras)


def encode_reasoning(part: ReasoningPart, *, own: bool) -> JsonObject | None:
    """``None`` for thinking that is not this dialect's own: no upstream of it could check it."""
    if part.signer != NAME and not (own and part.signer is None):
        return None
    rest = nested(kept(part.extras), "item") if own else {}
    item: JsonObject = {"type": "reasoning", **(rest or {"summary": summary_parts(part.text)})}
    if part.signature is not None:
        item["encrypted_content"] = part.signature
    return item


def summary_parts(text: str) -> list[Json]:
    return [{"type": "summary_text", "text": text}] if text else []


def encode_call(part: ToolCallPart, *, own: bool) -> JsonObject:
    kind = "custom_tool_call" if part.custom else "function_call"
    text = part.arguments if own or part.custom else part.arguments or "{}"
    extras = item_fields(part.extras) if own else {}
    return {"type": kind, "call_id": part.id, "name": part.name, CALLS[kind]: text, **extras}


def encode_result(part: ToolResultPart, path: str, *, own: bool, custom_calls: Iterable[str]) -> JsonObject:
    custom = bool(kept(part.extras).get("custom")) if own else part.call_id in custom_calls
    texts = [inner.text for inner in part.parts if isinstance(inner, TextPart)]
    output: Json
    if len(texts) == len(part.parts) <= 1 and (part.plain or not own):
        output = _marked_error("".join(texts), part, own=own)
    else:
        output = [encode_part(inner, path, own=own) for inner in part.parts]
        if part.is_error and not own:
            output = [{"type": "input_text", "text": "Error:"}, *output]
    extras = item_fields(part.extras) if own else {}
    return {"type": RESULTS[custom], "call_id": part.call_id, "output": output, **extras}


def _marked_error(text: str, part: ToolResultPart, *, own: bool) -> str:
    """There is no field for it, so the model reads it."""
    return f"Error: {text}" if part.is_error and not own else text


def encode_turn_part(part: Part, path: str, *, own: bool) -> JsonObject | None:
    """An item of its own for an assistant's part that is no text; ``None`` where it is left out."""
    match part:
        case ReasoningPart():
            return encode_reasoning(part, own=own)
        case ToolCallPart():
            return encode_call(part, own=own)
        case OpaquePart(dialect, kind, value):
            if dialect != NAME:
                raise not_expressible(path, kind)
            return value
        case _ if not isinstance(part, TextPart | RefusalPart) and own and (item := nested(kept(part.extras), "item")):
            return item
        case _:
            raise not_expressible(path, type(part).__name__)


def begins_message(part: TextPart | RefusalPart) -> bool:
    """A text that stood first in a message of its own."""
    return "begins" in kept(part.extras)


def message_item(parts: list[TextPart | RefusalPart], path: str, *, own: bool) -> JsonObject:
    """An assistant's message; its fields were kept with its first part."""
    first = kept(parts[0].extras) if own else {}
    item: JsonObject = {"role": "assistant", **(nested(first, "item") if "begins" in first else {"type": "message"})}
    if own and "content" in item:
        return item
    if own and first.get("plain"):
        item["content"] = parts[0].text
        return item
    clean = [_without_item(part) for part in parts] if own else parts
    content: list[Json] = [encode_part(part, path, own=own, text_type=OUTPUT_TEXT) for part in clean]
    return {**item, "content": content}


def _without_item(part: TextPart | RefusalPart) -> TextPart | RefusalPart:
    extras = keeping(said_only(part.extras), type=kept(part.extras).get("type"))
    return TextPart(part.text, extras) if isinstance(part, TextPart) else RefusalPart(part.text, extras)

"""Items of an answer, both ways: an upstream's, which are read tolerantly, and those that a client is shown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from relayhub.dialects.fields import nested
from relayhub.dialects.openai_chat.reply import arguments_of, minted_id
from relayhub.dialects.openai_chat.upstream_json import objects, string
from relayhub.dialects.openai_responses.images import decode_generated, generated_item
from relayhub.dialects.openai_responses.items import CALLS, reasoning_text, summary_parts
from relayhub.dialects.openai_responses.kept import NAME, keeping, kept
from relayhub.dialects.openai_responses.marks import Opaque, read_encrypted, write_encrypted
from relayhub.types.chat import ImagePart, OpaquePart, Part, ReasoningPart, RefusalPart, TextPart, ToolCallPart
from relayhub.types.json import Json, JsonObject

_MESSAGE = "message"


def decode_output_item(item: JsonObject, seed: str) -> tuple[Part, ...]:
    """``seed`` distinguishes the item; the id of a tool call that has none is minted from it. Each item is kept with its
    first part, so that the same dialect can show it again."""
    match item.get("type"):
        case "message":
            return tuple(_decode_message(item))
        case "reasoning":
            return (_decode_reasoning(item),)
        case "function_call" | "custom_tool_call" as kind:
            return (_decode_call(item, str(kind), seed),)
        case "image_generation_call" if item.get("result"):
            return (decode_generated(item),)
        case kind:
            return (OpaquePart(NAME, string(kind, "unknown"), item),)


def _decode_message(item: JsonObject) -> Iterator[Part]:
    extras = keeping({}, item=item)
    for part in objects(item.get("content")):
        if part.get("type") == "refusal":
            yield RefusalPart(string(part.get("refusal")), extras)
        elif isinstance(part.get("text"), str):
            yield TextPart(string(part.get("text")), extras)
        else:
            continue
        extras = {NAME: {"same_item": True}}


def _decode_reasoning(item: JsonObject) -> ReasoningPart:
    text = reasoning_text(item.get("summary")) or reasoning_text(item.get("content"))
    read = read_encrypted(string(item.get("encrypted_content")) or None)
    return ReasoningPart(text, read.signature, read.redacted, read.signer, extras=keeping({}, item=item))


def _decode_call(item: JsonObject, kind: str, seed: str) -> ToolCallPart:
    call_id = call_id_of(item, seed)
    arguments = arguments_of(item.get(CALLS[kind]))
    return ToolCallPart(
        call_id, string(item.get("name")), arguments, kind == "custom_tool_call", extras=keeping({}, item=item)
    )


def call_id_of(item: JsonObject, seed: str) -> str:
    return string(item.get("call_id")) or string(item.get("id")) or minted_id(seed)


@dataclass(frozen=True, slots=True)
class Shown:
    """What a client wants to see of thinking, and the names of items that the hub makes up. ``cut``: the answer has no
    proper end, and neither has its last item."""

    summary: bool
    encrypted: bool
    id: str
    cut: bool = False

    def item_id(self, prefix: str, index: int) -> str:
        return f"{prefix}_{self.id}_{index}"


def encode_output(parts: tuple[Part, ...], shown: Shown) -> list[Json]:
    """Items of this dialect's own come out as they came; parts of others become new ones."""
    items: list[JsonObject] = []
    for part in parts:
        own = None if isinstance(part, OpaquePart) else kept(part.extras)
        if own and (item := nested(own, "item")):
            items.append(item)
        elif not own and (added := _encode(part, shown, items)) is not None:
            items.append(added)
    if shown.cut and items and "status" in items[-1]:
        items[-1] = {**items[-1], "status": "incomplete"}
    return list(items)


def _encode(part: Part, shown: Shown, items: list[JsonObject]) -> JsonObject | None:
    """``None`` where the part joined the last item, or where there is nothing to show."""
    index = len(items)
    match part:
        case TextPart(text) if text:
            return _say({"type": "output_text", "text": text, "annotations": [], "logprobs": []}, shown, items)
        case RefusalPart(text):
            return _say({"type": "refusal", "refusal": text}, shown, items)
        case ReasoningPart():
            return reasoning_item(part, shown, index)
        case ToolCallPart():
            return call_item(part, shown.item_id("fc", index))
        case ImagePart():
            return generated_item(part, shown.item_id("ig", index))
        case OpaquePart(dialect, _, value) if dialect == NAME:
            return value
        case _:
            return None


def _say(content: JsonObject, shown: Shown, items: list[JsonObject]) -> JsonObject | None:
    last = items[-1] if items else {}
    own_content = last.get("content")
    if last.get("type") == _MESSAGE and isinstance(own_content, list):
        items[-1] = {**last, "content": [*own_content, content]}
        return None
    return message_item(shown.item_id("msg", len(items)), [content], "completed")


def message_item(identity: str, content: list[Json], status: str) -> JsonObject:
    return {"id": identity, "type": _MESSAGE, "status": status, "role": "assistant", "content": content}


def reasoning_item(part: ReasoningPart, shown: Shown, index: int) -> JsonObject | None:
    encrypted = write_encrypted(Opaque(part.signature, part.redacted, part.signer)) if shown.encrypted else None
    if not part.text and encrypted is None:
        return None
    summary = summary_parts(part.text) if shown.summary else []
    item: JsonObject = {"id": shown.item_id("rs", index), "type": "reasoning", "summary": summary}
    return item if encrypted is None else {**item, "encrypted_content": encrypted}


def call_item(part: ToolCallPart, identity: str) -> JsonObject:
    kind = "custom_tool_call" if part.custom else "function_call"
    arguments = part.arguments if part.custom else part.arguments or "{}"
    return {
        "id": identity,
        "type": kind,
        "status": "completed",
        CALLS[kind]: arguments,
        "call_id": part.id,
        "name": part.name,
    }

"""Whole answers, both ways."""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from relayhub.dialects.anthropic_messages.blocks import arguments_object
from relayhub.dialects.anthropic_messages.names import NAME
from relayhub.dialects.anthropic_messages.spoken import image_text, message_id, reasoning_data, signature_text
from relayhub.dialects.anthropic_messages.stops import read_stop, write_stop
from relayhub.dialects.anthropic_messages.usage import estimated, read_usage, write_usage
from relayhub.dialects.codec import ClientView
from relayhub.dialects.fields import nested
from relayhub.dialects.openai_chat.reply import arguments_of, minted_id
from relayhub.dialects.openai_chat.upstream_json import objects, parse_tolerantly, string
from relayhub.dialects.tool_ids import to_plain
from relayhub.dialects.upstream_errors import in_stream_error
from relayhub.types.chat import (
    ChatReply,
    Choice,
    FinishReason,
    ImagePart,
    Message,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    Role,
    TextPart,
    ToolCallPart,
)
from relayhub.types.errors import upstream_broke
from relayhub.types.json import Json, JsonObject

_FIELDS = frozenset({"id", "type", "role", "model", "content", "stop_reason", "stop_sequence"})


def decode_reply(body: bytes) -> ChatReply:
    """``extras[NAME]`` of the reply holds its other fields, the usage as it came among them. Raises ``UpstreamError``
    for an error object and for anything that is no message."""
    reply = parse_tolerantly(body)
    if reply is None:
        raise upstream_broke("it is not a JSON object")
    if reply.get("error"):
        raise in_stream_error(reply["error"])
    if not isinstance(reply.get("content"), list):
        raise upstream_broke("it has no content")
    identity = string(reply.get("id"))
    parts = tuple(
        _read_block(block, f"{identity}/{index}") for index, block in enumerate(objects(reply.get("content")))
    )
    calls = any(isinstance(part, ToolCallPart) for part in parts)
    reason, native = read_stop(reply.get("stop_reason"), calls=calls)
    stop = reply.get("stop_sequence")
    return ChatReply(
        id=identity,
        model=string(reply.get("model")),
        created=0,
        choices=(Choice(0, Message(Role.ASSISTANT, parts), reason, stop if isinstance(stop, str) else None, native),),
        usage=read_usage(reply.get("usage")),
        extras={NAME: {key: value for key, value in reply.items() if key not in _FIELDS}},
    )


def _read_block(block: JsonObject, seed: str) -> Part:
    kind = string(block.get("type"))
    others = {key: value for key, value in block.items() if key not in _KNOWN.get(kind, ())}
    match kind:
        case "text":
            return TextPart(string(block.get("text")), others)
        case "thinking":
            signature = string(block.get("signature")) or None
            return ReasoningPart(string(block.get("thinking")), signature, signer=NAME, extras=others)
        case "redacted_thinking":
            return ReasoningPart("", redacted=string(block.get("data")), signer=NAME, extras=others)
        case "tool_use":
            call_id = string(block.get("id")) or minted_id(seed)
            return ToolCallPart(call_id, string(block.get("name")), arguments_of(block.get("input")), extras=others)
        case _:
            return OpaquePart(NAME, kind, block)


_KNOWN = {
    "text": frozenset({"type", "text"}),
    "thinking": frozenset({"type", "thinking", "signature"}),
    "redacted_thinking": frozenset({"type", "data"}),
    "tool_use": frozenset({"type", "id", "name", "input"}),
}


def encode_reply(reply: ChatReply, view: ClientView) -> bytes:
    """Of several choices the first. Raises ``UpstreamError`` for a tool call that this dialect cannot show."""
    own = NAME in reply.extras
    choice = next(iter(reply.choices), None) or _nothing()
    content = list(_blocks(choice, own=own))
    calls = any(block["type"] == "tool_use" for block in content)
    reason, stop = write_stop(choice.finish, choice.stop_sequence, choice.native_finish, calls=calls)
    body: JsonObject = {
        "id": reply.id if own else message_id(view),
        "type": "message",
        "role": "assistant",
        "model": view.model,
        "content": list(content),
        "stop_reason": reason,
        "stop_sequence": stop,
        **nested(reply.extras, NAME),
    }
    if reply.usage is None:
        body.setdefault("usage", estimated(view.input_estimate))
    elif read_usage(body.get("usage")) != reply.usage:
        body["usage"] = write_usage(reply.usage)
    return orjson.dumps(body)


def _nothing() -> Choice:
    return Choice(0, Message(Role.ASSISTANT, ()), FinishReason.STOP)


def _blocks(choice: Choice, *, own: bool) -> Iterator[JsonObject]:
    for part in choice.message.parts:
        match part:
            case TextPart(text, extras) if text:
                yield {"type": "text", "text": text, **(extras if own else {})}
            case RefusalPart(text) if text:
                yield {"type": "text", "text": text}
            case ImagePart():
                yield {"type": "text", "text": image_text(part)}
            case ReasoningPart():
                yield from _thinking(part)
            case ToolCallPart():
                yield from _call(part, choice.finish, own=own)
            case OpaquePart(dialect, _, value) if dialect == NAME:
                yield value
            case _:
                pass


def _thinking(part: ReasoningPart) -> Iterator[JsonObject]:
    if part.text or part.redacted is None:
        signature = signature_text(part.signature, part.signer)
        yield {"type": "thinking", "thinking": part.text, "signature": signature}
    if part.redacted is not None:
        yield {"type": "redacted_thinking", "data": reasoning_data(part.redacted, part.signer)}


def _call(part: ToolCallPart, finish: FinishReason, *, own: bool) -> Iterator[JsonObject]:
    given: Json = arguments_object(part.arguments)
    if given is not None:
        extras = part.extras if own else {}
        yield {"type": "tool_use", "id": to_plain(part.id), "name": part.name, "input": given, **extras}
    elif finish not in (FinishReason.LENGTH, FinishReason.CONTENT_FILTER):
        # Where the answer was cut, a call without its end is left out: nobody could run it.
        raise upstream_broke("a tool call's arguments are not a JSON object")

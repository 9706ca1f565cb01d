"""Whole answers, both ways."""

from __future__ import annotations

import hashlib

import orjson

from relayhub.dialects.codec import ClientView
from relayhub.dialects.fields import nested
from relayhub.dialects.openai_chat.calls import encode_call
from relayhub.dialects.openai_chat.finish import finish_reason
from relayhub.dialects.openai_chat.images import IMAGES, image_item, texts_of
from relayhub.dialects.openai_chat.messages import reasoning_fields
from relayhub.dialects.openai_chat.parts import NAME
from relayhub.dialects.openai_chat.signed import DETAILS, call_fields, details, read_call
from relayhub.dialects.openai_chat.upstream_json import (
    integer,
    objects,
    parse_tolerantly,
    reasoning_of,
    string,
    text_of,
)
from relayhub.dialects.openai_chat.usage import read_usage, write_usage
from relayhub.dialects.upstream_errors import in_stream_error
from relayhub.types.chat import (
    ChatReply,
    Choice,
    ImageForm,
    ImagePart,
    Message,
    Part,
    ReasoningPart,
    RefusalPart,
    Role,
    TextPart,
    ToolCallPart,
)
from relayhub.types.errors import upstream_broke
from relayhub.types.json import Extras, Json, JsonObject

_REPLY_FIELDS = frozenset({"id", "object", "created", "model", "choices"})
_CHOICE_FIELDS = frozenset({"index", "message", "finish_reason"})
_MESSAGE_FIELDS = frozenset({"role", "content", "refusal", "tool_calls"})


def decode_reply(body: bytes) -> ChatReply:
    """``extras[NAME]`` of the reply holds its own other fields (the usage as it came, too), and marks those of its
    choices as this dialect's. Raises ``UpstreamError`` for an error object and for anything that is no completion."""
    reply = parse_tolerantly(body)
    if reply is None:
        raise upstream_broke("it is not a JSON object")
    if reply.get("error"):
        raise in_stream_error(reply["error"])
    choices = objects(reply.get("choices"))
    if not choices:
        raise upstream_broke("it has no choices")
    identity = string(reply.get("id"))
    return ChatReply(
        id=identity,
        model=string(reply.get("model")),
        created=integer(reply.get("created"), 0),
        choices=tuple(_decode_choice(choice, position, identity) for position, choice in enumerate(choices)),
        usage=read_usage(reply.get("usage")),
        extras={NAME: _others(reply, _REPLY_FIELDS)},
    )


def _others(value: JsonObject, known: frozenset[str]) -> JsonObject:
    return {key: item for key, item in value.items() if key not in known}


def _decode_choice(choice: JsonObject, position: int, identity: str) -> Choice:
    message = nested(choice, "message")
    index = integer(choice.get("index"), position)
    calls = _decode_calls(message, f"{identity}/{index}")
    reason = finish_reason(choice.get("finish_reason"), tool_calls=bool(calls))
    return Choice(index, _decode_message(message, calls), reason, extras=_others(choice, _CHOICE_FIELDS))


def _decode_message(message: JsonObject, calls: list[Part]) -> Message:
    parts: list[Part] = []
    extras = _others(message, _MESSAGE_FIELDS)
    reasoning = reasoning_of(message)
    if reasoning is not None:
        field, text = reasoning
        parts.append(ReasoningPart(text, wire_field=field))
        del extras[field]
    content = message.get("content")
    if text := text_of(content):
        parts.append(TextPart(text))
    if isinstance(refusal := message.get("refusal"), str) and refusal:
        parts.append(RefusalPart(refusal))
    null_content = content is None
    return Message(Role.ASSISTANT, (*parts, *calls), plain=not null_content, null_content=null_content, extras=extras)


def _decode_calls(message: JsonObject, identity: str) -> list[Part]:
    calls: list[Part] = []
    for position, call in enumerate(objects(message.get("tool_calls"))):
        custom = call.get("type") == "custom" or "custom" in call
        inner = nested(call, "custom" if custom else "function")
        call_id = string(call.get("id")) or minted_id(f"{identity}/{position}")
        arguments = arguments_of(inner.get("input" if custom else "arguments"))
        signature, signer = read_call(call, NAME)
        calls.append(ToolCallPart(call_id, string(inner.get("name")), arguments, custom, signature, signer))
    return calls


def minted_id(seed: str) -> str:
    """An id for a tool call whose upstream gave none: the same for the same place in the same answer."""
    return "call_" + hashlib.blake2b(seed.encode(), digest_size=12).hexdigest()


def arguments_of(value: Json) -> str:
    """Arguments are JSON *text*; some upstreams send the object itself."""
    if value is None:
        return ""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def encode_reply(reply: ChatReply, view: ClientView) -> bytes:
    own = NAME in reply.extras
    body: JsonObject = {
        "id": reply.id or reply_id(view),
        "object": "chat.completion",
        "created": reply.created or view.created,
        "model": view.model,
        "choices": [_encode_choice(choice, view.image_form, own=own) for choice in reply.choices],
    }
    others = nested(reply.extras, NAME)
    if reply.usage is not None and read_usage(others.get("usage")) != reply.usage:
        others = {**others, "usage": write_usage(reply.usage)}
    return orjson.dumps({**body, **others})


def reply_id(view: ClientView) -> str:
    """For an answer whose upstream gives none."""
    return f"chatcmpl-{view.call_id}" if view.call_id else ""


def _encode_choice(choice: Choice, form: ImageForm, *, own: bool) -> JsonObject:
    calls = any(isinstance(part, ToolCallPart) for part in choice.message.parts)
    return {
        "index": choice.index,
        "message": _encode_message(choice.message, form, own=own),
        "logprobs": None,
        "finish_reason": finish_reason(choice.finish.value, tool_calls=calls).value,
        **(choice.extras if own else {}),
    }


def _encode_message(message: Message, form: ImageForm, *, own: bool) -> JsonObject:
    extras: Extras = message.extras if own else {}
    texts = texts_of(message.parts, form)
    images = [part for part in message.parts if isinstance(part, ImagePart)]
    refusals = [part.text for part in message.parts if isinstance(part, RefusalPart)]
    calls = [part for part in message.parts if isinstance(part, ToolCallPart)]
    out: JsonObject = {
        "role": "assistant",
        "content": "".join(texts) if texts or not _may_be_null(message) else None,
        "refusal": "".join(refusals) or None,
        **extras,
        **_encode_reasoning(message),
    }
    if calls:
        out["tool_calls"] = [{**encode_call(call, "tool_calls", own=False), **call_fields(call)} for call in calls]
    if images and form is not ImageForm.TEXT:
        out[IMAGES] = [image_item(image) for image in images]
    return out


def _may_be_null(message: Message) -> bool:
    """Without text the content is null beside calls or a refusal, and where it was; else clients expect a string."""
    if message.plain:
        return False
    return message.null_content or any(isinstance(part, ToolCallPart | RefusalPart) for part in message.parts)


def _encode_reasoning(message: Message) -> JsonObject:
    parts = [part for part in message.parts if isinstance(part, ReasoningPart)]
    signed = details(parts)
    return {**reasoning_fields(part for part in parts if part.text), **({DETAILS: signed} if signed else {})}

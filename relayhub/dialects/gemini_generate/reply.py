"""Whole answers, both ways."""

from __future__ import annotations

import orjson

from relayhub.dialects.codec import ClientView
from relayhub.dialects.fields import nested
from relayhub.dialects.gemini_generate.answer_parts import CallIds, read_part
from relayhub.dialects.gemini_generate.names import NAME
from relayhub.dialects.gemini_generate.scalars import integer_of
from relayhub.dialects.gemini_generate.spoken import written_parts
from relayhub.dialects.gemini_generate.stops import read_stop, write_stop
from relayhub.dialects.gemini_generate.upstream_errors import in_band_error
from relayhub.dialects.gemini_generate.usage import read_usage, write_usage
from relayhub.dialects.openai_chat.upstream_json import objects, parse_tolerantly, string
from relayhub.types.chat import ChatReply, Choice, FinishReason, Message, Part, ReasoningPart, Role, ToolCallPart
from relayhub.types.errors import upstream_broke
from relayhub.types.json import Json, JsonObject

_FIELDS = frozenset({"candidates", "modelVersion", "responseId"})
_CANDIDATE_FIELDS = frozenset({"content", "finishReason", "index"})


def decode_reply(body: bytes) -> ChatReply:
    """``extras[NAME]`` of the reply holds its other fields, the usage as it came among them. Raises ``UpstreamError``
    for an error object, for anything that is no answer, and for one that failed before it said anything."""
    reply = parse_tolerantly(body)
    if reply is None:
        raise upstream_broke("it is not a JSON object")
    if reply.get("error"):
        raise in_band_error(reply["error"])
    candidates = objects(reply.get("candidates"))
    identity = string(reply.get("responseId"))
    choices = tuple(_decode_candidate(candidate, at, identity) for at, candidate in enumerate(candidates))
    if not choices:
        choices = (_blocked(reply),)
    return ChatReply(
        id=identity,
        model=string(reply.get("modelVersion")),
        created=0,
        choices=choices,
        usage=read_usage(reply.get("usageMetadata")),
        extras={NAME: {key: value for key, value in reply.items() if key not in _FIELDS}},
    )


def block_reason(reply: JsonObject) -> str | None:
    """Why the prompt was not answered at all."""
    return string(nested(reply, "promptFeedback").get("blockReason")) or None


def _blocked(reply: JsonObject) -> Choice:
    if block_reason(reply) is None:
        raise upstream_broke("it has no candidates")
    return Choice(0, Message(Role.ASSISTANT, ()), FinishReason.CONTENT_FILTER)


def _decode_candidate(candidate: JsonObject, position: int, identity: str) -> Choice:
    index = index_of(candidate, position)
    ids = CallIds(identity, index)
    content = nested(candidate, "content")
    parts = tuple(part for value in objects(content.get("parts")) for part in read_part(value, ids))
    calls = any(isinstance(part, ToolCallPart) for part in parts)
    reason, native = read_stop(candidate.get("finishReason"), calls=calls, produced=is_produced(parts))
    others = {key: value for key, value in candidate.items() if key not in _CANDIDATE_FIELDS}
    return Choice(index, Message(Role.ASSISTANT, parts), reason, native_finish=native, extras=others)


def index_of(candidate: JsonObject, position: int) -> int:
    index = integer_of(candidate.get("index"))
    return position if index is None else index


def is_produced(parts: tuple[Part, ...]) -> bool:
    """Anything beside thinking."""
    return any(not isinstance(part, ReasoningPart) for part in parts)


def encode_reply(reply: ChatReply, view: ClientView) -> bytes:
    """Raises ``UpstreamError`` for a tool call that this dialect cannot show."""
    own = NAME in reply.extras
    others = nested(reply.extras, NAME)
    body: JsonObject = {"candidates": [_encode_choice(choice, view, own=own) for choice in reply.choices]}
    if own and block_reason(others) is not None and not any(choice.message.parts for choice in reply.choices):
        body = {}
    body.update(others)
    if reply.usage is not None and read_usage(others.get("usageMetadata")) != reply.usage:
        body["usageMetadata"] = write_usage(reply.usage)
    return orjson.dumps({**body, "modelVersion": view.model, "responseId": reply.id or view.call_id})


def _encode_choice(choice: Choice, view: ClientView, *, own: bool) -> JsonObject:
    out: JsonObject = {}
    if choice.message.parts or choice.finish is not FinishReason.CONTENT_FILTER:
        parts: list[Json] = [*written_parts(choice.message.parts, view, choice.finish)]
        out["content"] = {"parts": parts, "role": "model"}
    out["finishReason"] = write_stop(choice.finish, choice.native_finish, own=own)
    out["index"] = choice.index
    return {**out, **(choice.extras if own else {})}

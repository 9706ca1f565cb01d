"""Whole answers, both ways."""

from __future__ import annotations

from dataclasses import replace

import orjson

from relayhub.dialects.codec import ClientView
from relayhub.dialects.fields import nested
from relayhub.dialects.openai_chat.upstream_json import integer, objects, parse_tolerantly, string
from relayhub.dialects.openai_responses.finish import ending_fields, failure_of, finish_of, is_cut
from relayhub.dialects.openai_responses.kept import NAME
from relayhub.dialects.openai_responses.output import decode_output_item, encode_output
from relayhub.dialects.openai_responses.response import new_response, shown_to
from relayhub.dialects.openai_responses.usage import read_usage, write_usage
from relayhub.dialects.upstream_errors import in_stream_error
from relayhub.types.chat import ChatReply, Choice, FinishReason, Message, Part, Role, ToolCallPart
from relayhub.types.errors import upstream_broke
from relayhub.types.json import JsonObject

_REPLY_FIELDS = frozenset({"id", "object", "created_at", "model", "output"})


def decode_reply(body: bytes) -> ChatReply:
    """``extras[NAME]`` holds the response's other fields and marks the reply as this dialect's. Raises ``UpstreamError``
    for a failed response, an error object and anything that is no response."""
    response = read_response(parse_tolerantly(body))
    identity = string(response.get("id"))
    parts: list[Part] = []
    for index, item in enumerate(objects(response.get("output"))):
        parts += decode_output_item(item, f"{identity}/{index}")
    calls = any(isinstance(part, ToolCallPart) for part in parts)
    choice = Choice(0, Message(Role.ASSISTANT, tuple(parts)), finish_of(response, tool_calls=calls))
    return ChatReply(
        id=identity,
        model=string(response.get("model")),
        created=integer(response.get("created_at"), 0),
        choices=(choice,),
        usage=read_usage(response.get("usage")),
        extras={NAME: {key: value for key, value in response.items() if key not in _REPLY_FIELDS}},
    )


def read_response(response: JsonObject | None) -> JsonObject:
    """``response`` itself if it has an answer. Raises ``UpstreamError`` otherwise."""
    if response is None:
        raise upstream_broke("it is not a JSON object")
    if (failure := failure_of(response)) is not None:
        raise failure
    if not isinstance(response.get("output"), list):
        if response.get("error"):
            raise in_stream_error(response["error"])
        raise upstream_broke("it has no output")
    return response


def encode_reply(reply: ChatReply, view: ClientView) -> bytes:
    """The first choice: this dialect has no others."""
    choice = reply.choices[0] if reply.choices else Choice(0, Message(Role.ASSISTANT, ()), FinishReason.STOP)
    shown = replace(shown_to(view, reply.id), cut=is_cut(choice.finish))
    others = nested(reply.extras, NAME)
    if NAME in reply.extras:
        shown = replace(shown, cut=False)
        body: JsonObject = {"id": reply.id, "object": "response", "created_at": reply.created, **others}
    else:
        body = {**new_response(view, reply.created, reply.id), **ending_fields(choice.finish)}
    body["model"] = view.model
    body["output"] = encode_output(choice.message.parts, shown)
    if reply.usage is not None and read_usage(body.get("usage")) != reply.usage:
        body["usage"] = write_usage(reply.usage)
    return orjson.dumps(body)

"""Requests of this dialect, both ways: decoding and encoding again gives a JSON-equal request, in camelCase."""

from __future__ import annotations

import orjson

from relayhub.dialects.codec import EncodedRequest, Envelope
from relayhub.dialects.fields import Fields
from relayhub.dialects.gemini_generate.casing import camel_object
from relayhub.dialects.gemini_generate.config import CONFIG, decode_config, encode_config, unspelled
from relayhub.dialects.gemini_generate.contents import decode_contents, decode_system, encode_own
from relayhub.dialects.gemini_generate.names import NAME, keeping
from relayhub.dialects.gemini_generate.scalars import one_or_many
from relayhub.dialects.gemini_generate.tools import CONFIG as TOOL_CONFIG
from relayhub.dialects.gemini_generate.tools import decode_choice, decode_tools, encode_choice, encode_tools
from relayhub.dialects.jsontext import parse_object
from relayhub.types.chat import ChatRequest, ToolChoice
from relayhub.types.json import JsonObject

_ESSENTIAL = ("cachedContent", "continuationToken")
"""Part of the conversation, kept upstream."""


def decode_request(body: bytes, envelope: Envelope) -> ChatRequest:
    """Raises ``ClientError`` naming the place."""
    fields = Fields(camel_object(parse_object(body)), "")
    fields.take("model")
    messages = (*decode_system(fields.take("systemInstruction")), *decode_contents(fields.take("contents")))
    given = fields.take(CONFIG)
    config = decode_config(given)
    tools = decode_tools(one_or_many(fields.take("tools")))
    choice = _decode_choice(fields)
    essential = tuple(name for name in _ESSENTIAL if fields.peek(name))
    return ChatRequest(
        dialect=NAME,
        model=envelope.model,
        messages=messages,
        stream=envelope.stream,
        include_usage=envelope.include_usage,
        max_output_tokens=config.max_output_tokens,
        choices=config.choices,
        sampling=config.sampling,
        tools=tools,
        tool_choice=choice,
        output_format=config.output_format,
        reasoning=config.reasoning,
        extras=keeping({**fields.rest(), **config.others}, **{CONFIG: None if given is None else config.spelled}),
        essential=(*essential, *config.essential),
    )


def _decode_choice(fields: Fields) -> ToolChoice | None:
    if fields.peek(TOOL_CONFIG) is None:
        return None
    inner = fields.inner(TOOL_CONFIG)
    choice = decode_choice(inner)
    fields.rest(inner)
    return choice


def encode_own_request(request: ChatRequest) -> EncodedRequest:
    """A request of this dialect as it came. The model stands in the path."""
    body = encode_own(request)
    others = unspelled(request.extras)
    config = encode_config(request)
    if config is not None:
        body[CONFIG] = config
    if request.tools:
        body["tools"] = encode_tools(request.tools)
    tool_config = others.pop(TOOL_CONFIG, None)
    choice = encode_choice(request.tool_choice, tool_config if isinstance(tool_config, dict) else {})
    if choice:
        body[TOOL_CONFIG] = choice
    return EncodedRequest(orjson.dumps({**body, **_last(others)}))


def _last(others: JsonObject) -> JsonObject:
    return {key: value for key, value in others.items() if value is not None}

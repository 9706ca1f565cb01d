"""Requests of this dialect, both ways: decoding and encoding again gives a JSON-equal request."""

from __future__ import annotations

import orjson

from relayhub.dialects.anthropic_messages.messages import decode_messages, decode_system, encode_own
from relayhub.dialects.anthropic_messages.names import NAME
from relayhub.dialects.anthropic_messages.target import AnthropicTarget
from relayhub.dialects.anthropic_messages.thinking import decode_reasoning, encode_thinking
from relayhub.dialects.anthropic_messages.tools import (
    decode_choice,
    decode_format,
    decode_tools,
    encode_choice,
    encode_format,
    encode_tools,
)
from relayhub.dialects.codec import EncodedRequest, Envelope
from relayhub.dialects.fields import Fields, nested, wrong_type
from relayhub.dialects.jsontext import parse_object
from relayhub.types.chat import ChatRequest, OutputFormat, Sampling, ToolChoice
from relayhub.types.json import Json, JsonObject

CONFIG = "output_config"

_ESSENTIAL = ("container", "inference_geo", "mcp_servers", "output_format")
"""State kept upstream, tools that run there, where it may run, and an older spelling of the output format.
(``context_management`` only trims what the model sees, and a popular agent always sends it.)"""


def decode_request(body: bytes, envelope: Envelope) -> ChatRequest:
    """Raises ``ClientError`` naming the place."""
    fields = Fields(parse_object(body), "")
    fields.take("model")
    if envelope.stream:
        fields.take("stream")
    system = decode_system(fields)
    messages = decode_messages(fields.optional_list("messages") or [])
    config = fields.inner(CONFIG) if fields.peek(CONFIG) not in (None, {}) else None
    reasoning = decode_reasoning(fields, config)
    choice, parallel = _decode_choice(fields)
    user, metadata = _decode_metadata(fields)
    output_format = None if config is None else _decode_format(config)
    return ChatRequest(
        dialect=NAME,
        model=envelope.model,
        messages=(*system, *messages),
        stream=envelope.stream,
        include_usage=envelope.include_usage,
        max_output_tokens=fields.optional_integer("max_tokens"),
        sampling=_decode_sampling(fields),
        tools=decode_tools(_nonempty(fields, "tools"), "tools"),
        tool_choice=choice,
        parallel_tool_calls=parallel,
        output_format=output_format,
        reasoning=reasoning,
        user=user,
        metadata=metadata,
        extras=fields.rest() if config is None else fields.rest(config),
        essential=tuple(name for name in _ESSENTIAL if fields.peek(name)),
    )


def _decode_sampling(fields: Fields) -> Sampling:
    stop = _nonempty(fields, "stop_sequences")
    if not all(isinstance(item, str) for item in stop):
        raise wrong_type("stop_sequences", "an array of strings")
    return Sampling(
        temperature=fields.optional_number("temperature"),
        top_p=fields.optional_number("top_p"),
        top_k=fields.optional_integer("top_k"),
        stop=tuple(item for item in stop if isinstance(item, str)) or None,
    )


def _nonempty(fields: Fields, key: str) -> list[Json]:
    """An empty list stays in the rest."""
    return [] if fields.peek(key) == [] else fields.optional_list(key) or []


def _decode_choice(fields: Fields) -> tuple[ToolChoice | None, bool | None]:
    value = fields.peek("tool_choice")
    if value is None:
        return None, None
    fields.take("tool_choice")
    return decode_choice(value, "tool_choice")


def _decode_metadata(fields: Fields) -> tuple[str | None, JsonObject | None]:
    """Who the user is, and the metadata that say so."""
    metadata = fields.optional_object("metadata")
    if metadata is None:
        return None, None
    return Fields(metadata, "metadata").optional_text("user_id"), metadata


def _decode_format(config: Fields) -> OutputFormat | None:
    value = config.peek("format")
    output = None if value is None else decode_format(value, config.at("format"))
    if output is not None:
        config.take("format")
    return output


def encode_own_request(request: ChatRequest, *, model: str, target: AnthropicTarget) -> EncodedRequest:
    """A request of this dialect as it came, with another model."""
    body: JsonObject = {"model": model, **encode_own(request.messages)}
    cap = request.max_output_tokens
    body["max_tokens"] = target.max_output_tokens if cap is None else cap
    sampling = request.sampling
    values: JsonObject = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "stop_sequences": None if sampling.stop is None else list(sampling.stop),
        "tools": encode_tools(request.tools) or None,
        "tool_choice": _own_choice(request),
        "thinking": None if request.reasoning is None else encode_thinking(request.reasoning),
        "metadata": request.metadata,
        "stream": True if request.stream else None,
    }
    body.update({key: value for key, value in values.items() if value is not None})
    body.update(request.extras)
    body.update(_own_config(request))
    return EncodedRequest(orjson.dumps(body))


def _own_choice(request: ChatRequest) -> JsonObject | None:
    if request.tool_choice is None:
        return None
    return encode_choice(request.tool_choice, request.parallel_tool_calls, "tool_choice")


def _own_config(request: ChatRequest) -> JsonObject:
    config = dict(nested(request.extras, CONFIG))
    if request.reasoning is not None and request.reasoning.effort is not None:
        config["effort"] = request.reasoning.effort
    if request.output_format is not None:
        config["format"] = encode_format(request.output_format)
    return {CONFIG: config} if config else {}

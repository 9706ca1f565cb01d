"""Whole chat requests, both ways.

Decoding and encoding again gives a JSON-equal request, with usage asked for in streams.
"""

from __future__ import annotations

import orjson

from relayhub.dialects.fields import Fields, wrong_type
from relayhub.dialects.jsontext import parse_object
from relayhub.dialects.openai_chat.envelope import read_envelope
from relayhub.dialects.openai_chat.messages import decode_messages, encode_messages
from relayhub.dialects.openai_chat.parts import NAME
from relayhub.dialects.openai_chat.tools import (
    decode_choice,
    decode_format,
    decode_tools,
    encode_choice,
    encode_format,
    encode_tools,
)
from relayhub.types.chat import ChatRequest, OutputFormat, Reasoning, Sampling, ToolChoice
from relayhub.types.json import Json, JsonObject

CAP, LEGACY_CAP = "max_completion_tokens", "max_tokens"

_LOW_BUDGET, _MEDIUM_BUDGET = 1_500, 10_000
"""Reasoning budgets of other dialects up to these many tokens become ``low`` and ``medium``. A convention."""


def decode_request(body: bytes) -> ChatRequest:
    """Raises ``ClientError`` naming the place."""
    request = parse_object(body)
    envelope = read_envelope(request)
    fields = Fields(request, "")
    fields.take("model")
    messages = fields.optional_list("messages") or []
    _note_spelling(fields, stream=envelope.stream)
    effort = fields.optional_text("reasoning_effort")
    return ChatRequest(
        dialect=NAME,
        model=envelope.model,
        messages=decode_messages(messages),
        stream=envelope.stream,
        include_usage=envelope.include_usage,
        max_output_tokens=_decode_cap(fields),
        choices=envelope.choices,
        sampling=_decode_sampling(fields),
        tools=decode_tools(_nonempty_list(fields, "tools"), "tools"),
        tool_choice=_decode_choice(fields),
        parallel_tool_calls=fields.optional_flag("parallel_tool_calls"),
        output_format=_decode_format(fields),
        reasoning=None if effort is None else Reasoning(effort=effort),
        user=fields.optional_text("user"),
        metadata=fields.optional_object("metadata"),
        extras=fields.rest(),
    )


def _note_spelling(fields: Fields, *, stream: bool) -> None:
    """``stream: false`` and ``n: 1`` stay in the rest, so that they are said again; so do other stream options."""
    if stream:
        fields.take("stream")
    if fields.peek("n") not in (1, None):
        fields.take("n")
    options = fields.take("stream_options")
    if stream and isinstance(options, dict):
        others = {key: value for key, value in options.items() if key != "include_usage"}
        if others:
            fields.keep("stream_options", others)


def _decode_cap(fields: Fields) -> int | None:
    """The legacy spelling stays in the rest: some upstreams know only one of the two."""
    cap = fields.optional_integer(CAP)
    legacy = fields.optional_integer(LEGACY_CAP)
    if legacy is None:
        return cap
    fields.keep(LEGACY_CAP, legacy)
    if cap is not None:
        fields.keep(CAP, cap)
    return legacy if cap is None else cap


def _decode_sampling(fields: Fields) -> Sampling:
    return Sampling(
        temperature=fields.optional_number("temperature"),
        top_p=fields.optional_number("top_p"),
        top_k=fields.optional_integer("top_k"),
        seed=fields.optional_integer("seed"),
        presence_penalty=fields.optional_number("presence_penalty"),
        frequency_penalty=fields.optional_number("frequency_penalty"),
        stop=_decode_stop(fields),
        logit_bias=fields.optional_object("logit_bias"),
        logprobs=fields.optional_flag("logprobs"),
        top_logprobs=fields.optional_integer("top_logprobs"),
    )


def _decode_stop(fields: Fields) -> tuple[str, ...] | None:
    """A bare string stays in the rest as well, so that it is written as one."""
    value = fields.peek("stop")
    if value is None:
        return None
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise wrong_type("stop", "a string or an array of strings")
    fields.take("stop")
    return tuple(item for item in value if isinstance(item, str))


def _nonempty_list(fields: Fields, key: str) -> list[Json]:
    return [] if fields.peek(key) == [] else fields.optional_list(key) or []


def _decode_choice(fields: Fields) -> ToolChoice | None:
    return None if fields.peek("tool_choice") is None else decode_choice(fields.take("tool_choice"), "tool_choice")


def _decode_format(fields: Fields) -> OutputFormat | None:
    if fields.peek("response_format") is None:
        return None
    output = decode_format(fields.peek("response_format"), "response_format")
    if output is not None:
        fields.take("response_format")
    return output


def encode_request(request: ChatRequest, *, model: str) -> bytes:
    """Raises ``ClientError`` for what this dialect cannot say."""
    own = request.dialect == NAME
    body: JsonObject = {"model": model, "messages": encode_messages(request.messages, own=own)}
    if own:
        body.update(request.extras)
    body.update(_limits(request, body))
    body.update(_sampling(request.sampling, body, own=own))
    body.update(_tools(request, own=own))
    body.update(_controls(request, own=own))
    if request.stream:
        options = body.get("stream_options")
        body["stream"] = True
        body["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}
    return orjson.dumps(body)


def _limits(request: ChatRequest, spelled: JsonObject) -> JsonObject:
    out: JsonObject = {}
    if request.max_output_tokens is not None:
        legacy = spelled.get(LEGACY_CAP) is not None and spelled.get(CAP) is None
        out[LEGACY_CAP if legacy else CAP] = request.max_output_tokens
    if request.choices != 1:
        out["n"] = request.choices
    return out


def _sampling(sampling: Sampling, spelled: JsonObject, *, own: bool) -> JsonObject:
    values: JsonObject = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k if own else None,
        "seed": sampling.seed,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "logit_bias": sampling.logit_bias,
        "logprobs": sampling.logprobs,
        "top_logprobs": sampling.top_logprobs,
    }
    if sampling.stop is not None and not isinstance(spelled.get("stop"), str):
        values["stop"] = list(sampling.stop)
    return _said(values)


def _said(values: JsonObject) -> JsonObject:
    return {key: value for key, value in values.items() if value is not None}


def _tools(request: ChatRequest, *, own: bool) -> JsonObject:
    return _said(
        {
            "tools": encode_tools(request.tools, own=own) or None,
            "tool_choice": encode_choice(request.tool_choice, "tool_choice") if request.tool_choice else None,
            "parallel_tool_calls": request.parallel_tool_calls,
        }
    )


def _controls(request: ChatRequest, *, own: bool) -> JsonObject:
    output = request.output_format
    return _said(
        {
            "response_format": encode_format(output, own=own) if output else None,
            "reasoning_effort": _effort(request.reasoning) if request.reasoning else None,
            "user": request.user,
            "metadata": request.metadata if own else None,
        }
    )


def _effort(reasoning: Reasoning) -> str | None:
    if reasoning.effort is not None:
        return reasoning.effort
    if reasoning.enabled is False:
        return "none"
    if reasoning.budget_tokens is None:
        return None
    if reasoning.budget_tokens <= _LOW_BUDGET:
        return "low"
    return "medium" if reasoning.budget_tokens <= _MEDIUM_BUDGET else "high"

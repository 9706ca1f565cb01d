"""Requests of other dialects, written in this one: what it cannot say is refused, or left out and named."""

from __future__ import annotations

import orjson

from relayhub.dialects.codec import EncodedRequest
from relayhub.dialects.foreign import Dropped, not_expressible, note_extras
from relayhub.dialects.gemini_generate.config import (
    CONFIG,
    JSON,
    JSON_SCHEMA,
    MIME,
    SCHEMA,
    THINKING,
    said,
    sampling_of,
)
from relayhub.dialects.gemini_generate.conversation import translate_messages
from relayhub.dialects.gemini_generate.schemas import to_gemini
from relayhub.dialects.gemini_generate.target import GeminiTarget
from relayhub.dialects.gemini_generate.thinking import plan_thinking
from relayhub.dialects.gemini_generate.tools import CALLING, DECLARATIONS, VALIDATED, WORDS
from relayhub.dialects.gemini_generate.tools import CONFIG as TOOL_CONFIG
from relayhub.dialects.openai_chat.places import word
from relayhub.types.call import Dialect
from relayhub.types.chat import ChatRequest, FormatKind, OutputFormat, Sampling, Tool, ToolChoice, ToolMode
from relayhub.types.json import Json, JsonObject

MAX_STOPS = 5
_SEEDS = range(-(1 << 31), 1 << 31)

_SPELLINGS = frozenset({"stop", "stream", "stream_options", "n", "max_tokens", "max_completion_tokens", "refusal"})
"""Extras by which a dialect remembers how something was spelled that the request's own fields say as well."""

_UNIMPORTANT = frozenset({"type", "store"})
"""Extras that say nothing which an upstream of this dialect would need: what is kept afterwards."""


def encode_foreign_request(request: ChatRequest, *, target: GeminiTarget) -> EncodedRequest:
    """Raises ``ClientError`` for what this dialect cannot say. The model stands in the path."""
    dropped = Dropped()
    note_extras(request, dropped, {*_SPELLINGS, *_UNIMPORTANT})
    plan = plan_thinking(request, target, dropped)
    config: JsonObject = {
        **_sampling(request, target, dropped),
        **said({"maxOutputTokens": plan.cap, "candidateCount": None if request.choices == 1 else request.choices}),
        **_format(request.output_format, target),
    }
    if plan.config is not None:
        config[THINKING] = plan.config
    body: JsonObject = translate_messages(request, target, dropped)
    body.update(_tools(request, target, dropped))
    if config:
        body[CONFIG] = config
    _note(request, dropped)
    return EncodedRequest(orjson.dumps(body), dropped.names)


def _note(request: ChatRequest, dropped: Dropped) -> None:
    anthropic = request.dialect == Dialect.ANTHROPIC_MESSAGES.value
    if request.parallel_tool_calls is False:
        dropped.note("disable_parallel_tool_use" if anthropic else "parallel_tool_calls")
    if not anthropic:
        dropped.note_if("user", request.user)
    dropped.note_if(word(request, "metadata"), request.metadata)


def _sampling(request: ChatRequest, target: GeminiTarget, dropped: Dropped) -> JsonObject:
    sampling: Sampling = request.sampling
    stop = [text for text in sampling.stop or () if text]
    if len(stop) > MAX_STOPS:
        raise not_expressible(word(request, "stop"), f"more than {MAX_STOPS} sequences")
    out = sampling_of(sampling)
    out["stopSequences"] = [*stop] or None
    if sampling.seed is not None and sampling.seed not in _SEEDS:
        dropped.note("seed")
        out["seed"] = None
    for name, key in (("presence_penalty", "presencePenalty"), ("frequency_penalty", "frequencyPenalty")):
        if not out[key] or not target.penalties:
            dropped.note_if(name, out[key] or None)
            out[key] = None
    dropped.note_if("logit_bias", sampling.logit_bias)
    if not sampling.logprobs:
        out["responseLogprobs"], out["logprobs"] = None, None
    return said(out)


def _format(output: OutputFormat | None, target: GeminiTarget) -> JsonObject:
    if output is None or output.kind is FormatKind.TEXT:
        return {}
    if output.kind is FormatKind.JSON_OBJECT or not output.schema:
        return {MIME: JSON}
    if target.json_schema:
        return {MIME: JSON, JSON_SCHEMA: _plain_schema(output.schema)}
    return {MIME: JSON, SCHEMA: to_gemini(output.schema, "response_format")}


def _plain_schema(schema: JsonObject) -> JsonObject:
    return {key: value for key, value in schema.items() if key != "$schema"}


def _tools(request: ChatRequest, target: GeminiTarget, dropped: Dropped) -> JsonObject:
    choice = request.tool_choice
    if choice is not None and choice.opaque is not None:
        raise not_expressible("tool_choice", choice.opaque.kind)
    strict = any(tool.strict for tool in request.tools)
    auto = choice is None or choice.mode is ToolMode.AUTO
    # Without the mode that takes names, only the tools that may be called are sent.
    only = choice.names if choice is not None and auto and not target.validated else ()
    declared: list[Json] = [
        _declaration(tool, index, target)
        for index, tool in enumerate(request.tools)
        if not only or tool.name in only or tool.opaque is not None
    ]
    if strict and auto and not target.validated:
        dropped.note("strict")
    out: JsonObject = {"tools": [{DECLARATIONS: declared}]} if declared else {}
    calling = _calling(choice, target, strict=strict)
    if calling is not None and (declared or calling["mode"] == WORDS[ToolMode.REQUIRED]):
        out[TOOL_CONFIG] = {CALLING: calling}
    return out


def _declaration(tool: Tool, index: int, target: GeminiTarget) -> JsonObject:
    path = f"tools[{index}]"
    if tool.opaque is not None:
        raise not_expressible(path, tool.opaque.kind)
    out: JsonObject = {"name": tool.name}
    if tool.description is not None:
        out["description"] = tool.description
    parameters = tool.parameters
    if not parameters or _takes_nothing(parameters):
        return out
    if target.json_schema:
        return {**out, "parametersJsonSchema": _plain_schema(parameters)}
    return {**out, "parameters": to_gemini(parameters, path)}


def _takes_nothing(parameters: JsonObject) -> bool:
    """An object without properties is refused; a function without parameters is what it means."""
    shapes = ("properties", "$ref", "anyOf", "oneOf", "allOf", "patternProperties")
    open_ended = isinstance(parameters.get("additionalProperties"), dict)
    return not open_ended and not any(parameters.get(key) for key in shapes)


def _calling(choice: ToolChoice | None, target: GeminiTarget, *, strict: bool) -> JsonObject | None:
    mode = ToolMode.AUTO if choice is None else choice.mode
    names = choice.names if choice is not None else ()
    if mode is ToolMode.AUTO and (strict or names) and target.validated:
        # Names go only with modes that force something; so does a strict schema.
        return {"mode": VALIDATED, **({"allowedFunctionNames": [*names]} if names else {})}
    if choice is None:
        return None
    if names and mode is ToolMode.REQUIRED:
        return {"mode": WORDS[mode], "allowedFunctionNames": [*names]}
    return {"mode": WORDS[mode]}

"""The hub's requests → chat requests for upstreams, with usage asked for in streams."""

from __future__ import annotations

import orjson

from relayhub.dialects.codec import EncodedRequest
from relayhub.dialects.effort import effort_of
from relayhub.dialects.foreign import Dropped, not_expressible, note_extras
from relayhub.dialects.openai_chat.messages import encode_messages
from relayhub.dialects.openai_chat.parts import NAME
from relayhub.dialects.openai_chat.places import check_prefill, word
from relayhub.dialects.openai_chat.request import CAP, LEGACY_CAP
from relayhub.dialects.openai_chat.tools import encode_choice, encode_format, encode_tools
from relayhub.types.call import Dialect
from relayhub.types.chat import ChatRequest, Sampling
from relayhub.types.json import JsonObject

MAX_STOPS = 4

SHARED = ("service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options")
"""Fields that Responses and chat completions have in common and the hub has no word for."""

_RESPONSES = Dialect.OPENAI_RESPONSES.value
_OPENAI = frozenset({NAME, _RESPONSES})
_UNIMPORTANT = ("type", "store")
"""Extras of other dialects that say nothing which an upstream of this one would need: how a thing is spelled, what is kept
afterwards."""


def encode_request(request: ChatRequest, *, model: str) -> EncodedRequest:
    """Raises ``ClientError`` for what this dialect cannot say."""
    own = request.dialect == NAME
    dropped = Dropped()
    if not own:
        _check(request)
        _note(request, dropped)
    body: JsonObject = {"model": model, "messages": encode_messages(request)}
    body.update(request.extras if own else _shared(request))
    body.update(_limits(request, body))
    body.update(_sampling(request.sampling, body, own=own))
    body.update(_tools(request, own=own))
    body.update(_controls(request, own=own))
    if request.stream:
        options = body.get("stream_options")
        body["stream"] = True
        body["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}
    return EncodedRequest(orjson.dumps(body), dropped.names)


def _check(request: ChatRequest) -> None:
    check_prefill(request)
    if len(request.sampling.stop or ()) > MAX_STOPS:
        raise not_expressible(word(request, "stop"), f"more than {MAX_STOPS} sequences")


def _note(request: ChatRequest, dropped: Dropped) -> None:
    shared = _shared(request)
    text = {"text"} if "verbosity" in shared else set()
    note_extras(request, dropped, (request.dialect, *_UNIMPORTANT, *shared, *text))
    dropped.note_if(word(request, "top_k"), request.sampling.top_k)
    if request.dialect != _RESPONSES:
        dropped.note_if(word(request, "metadata"), request.metadata)


def _shared(request: ChatRequest) -> JsonObject:
    if request.dialect != _RESPONSES:
        return {}
    shared: JsonObject = {key: value for key in SHARED if (value := request.extras.get(key)) is not None}
    text = request.extras.get("text")
    if isinstance(text, dict) and (verbosity := text.get("verbosity")) is not None:
        shared["verbosity"] = verbosity
    return shared


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
        # Elsewhere it may stand alone, and then nothing is shown; here it would be refused.
        "top_logprobs": sampling.top_logprobs if own or sampling.logprobs else None,
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
            "reasoning_effort": effort_of(request.reasoning) if request.reasoning else None,
            "user": request.user if request.dialect in _OPENAI else None,
            "metadata": request.metadata if request.dialect in _OPENAI else None,
        }
    )

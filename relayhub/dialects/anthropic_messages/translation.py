"""Requests of other dialects, written in this one: what it cannot say is refused, or left out and named."""

from __future__ import annotations

import orjson

from relayhub.dialects.anthropic_messages.conversation import translate_messages
from relayhub.dialects.anthropic_messages.target import AnthropicTarget
from relayhub.dialects.anthropic_messages.thinking import Plan, plan_thinking
from relayhub.dialects.anthropic_messages.tools import translate_format, translate_tools
from relayhub.dialects.codec import EncodedRequest
from relayhub.dialects.foreign import Dropped, not_expressible, note_extras
from relayhub.dialects.openai_chat.places import word
from relayhub.types.chat import ChatRequest, Sampling
from relayhub.types.json import JsonObject

MAX_TEMPERATURE = 1
LEAST_TOP_P = 0.95
"""Below this ``top_p`` is refused while the model thinks."""

_SPELLINGS = frozenset({"stop", "stream", "n", "max_tokens", "max_completion_tokens", "refusal"})
"""Extras by which a dialect remembers how something was spelled that the request's own fields say as well."""

_UNIMPORTANT = frozenset({"type", "store"})
"""Extras that say nothing which an upstream of this dialect would need: what is kept afterwards."""


def encode_foreign_request(request: ChatRequest, *, model: str, target: AnthropicTarget) -> EncodedRequest:
    """Raises ``ClientError`` for what this dialect cannot say."""
    dropped = Dropped()
    _refuse(request)
    note_extras(request, dropped, _SPELLINGS | _UNIMPORTANT)
    plan = plan_thinking(request, target, dropped)
    body: JsonObject = {
        "model": model,
        "max_tokens": plan.max_tokens,
        **translate_messages(request, target, dropped),
        **translate_tools(request),
        **_config(request, plan, dropped),
        **_sampling(request, target, plan, dropped),
    }
    if plan.thinking is not None:
        body["thinking"] = plan.thinking
    if request.stream:
        body["stream"] = True
    dropped.note_if("user", request.user)
    dropped.note_if("metadata", request.metadata)
    return EncodedRequest(orjson.dumps(body), dropped.names)


def _refuse(request: ChatRequest) -> None:
    sampling = request.sampling
    if request.choices != 1:
        raise not_expressible(word(request, "n"))
    if sampling.logprobs:
        raise not_expressible(word(request, "logprobs"))
    if sampling.top_logprobs:
        raise not_expressible(word(request, "top_logprobs"))


def _config(request: ChatRequest, plan: Plan, dropped: Dropped) -> JsonObject:
    config: JsonObject = {} if plan.effort is None else {"effort": plan.effort}
    output = translate_format(request.output_format, dropped)
    if output is not None:
        config["format"] = output
    return {"output_config": config} if config else {}


def _sampling(request: ChatRequest, target: AnthropicTarget, plan: Plan, dropped: Dropped) -> JsonObject:
    sampling = request.sampling
    dropped.note_if("seed", None if sampling.seed is None else str(sampling.seed))
    dropped.note_if("presence_penalty", sampling.presence_penalty or None)
    dropped.note_if("frequency_penalty", sampling.frequency_penalty or None)
    dropped.note_if("logit_bias", sampling.logit_bias)
    out: JsonObject = {}
    if stop := _stop(request):
        out["stop_sequences"] = list(stop)
    if not target.takes_sampling or plan.on:
        return {**out, **_sampling_beside_thinking(sampling, target, dropped)}
    temperature, top_p = sampling.temperature, sampling.top_p
    if temperature is not None:
        if temperature > MAX_TEMPERATURE:
            dropped.note("temperature")
        out["temperature"] = min(temperature, MAX_TEMPERATURE)
    if top_p is not None and (temperature is None or target.both_samplings):
        out["top_p"] = top_p
    elif top_p not in (None, 1):
        dropped.note("top_p")
    if sampling.top_k is not None:
        out["top_k"] = sampling.top_k
    return out


def _stop(request: ChatRequest) -> list[str]:
    stop = [text for text in request.sampling.stop or () if text]
    for text in stop:
        if not text.strip():
            raise not_expressible(word(request, "stop"), "a sequence of white space only")
    return stop


def _sampling_beside_thinking(sampling: Sampling, target: AnthropicTarget, dropped: Dropped) -> JsonObject:
    """The defaults go without saying; a model that thinks takes no others but a large ``top_p``."""
    if sampling.temperature not in (None, 1):
        dropped.note("temperature")
    dropped.note_if("top_k", sampling.top_k)
    top_p = sampling.top_p
    if top_p is not None and top_p != 1:
        if target.takes_sampling and top_p >= LEAST_TOP_P:
            return {"top_p": top_p}
        dropped.note("top_p")
    return {}

"""The hub's requests → Responses', for upstreams; and the same words again for what a response echoes."""

from __future__ import annotations

import orjson

from relayhub.dialects.codec import EncodedRequest
from relayhub.dialects.effort import effort_of
from relayhub.dialects.fields import nested
from relayhub.dialects.foreign import Dropped, not_expressible, note_extras
from relayhub.dialects.openai_chat.places import check_prefill, word
from relayhub.dialects.openai_responses.input_writer import encode_input
from relayhub.dialects.openai_responses.kept import NAME, kept, said_only
from relayhub.dialects.openai_responses.request import ENCRYPTED, LOGPROBS
from relayhub.dialects.openai_responses.tools import encode_choice, encode_format, encode_tools
from relayhub.types.call import Dialect
from relayhub.types.chat import ChatRequest, Reasoning
from relayhub.types.json import Json, JsonObject

SHARED = ("service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options")
"""Fields that chat completions and Responses have in common and the hub has no word for."""

_CHAT = Dialect.OPENAI_CHAT.value
_CHAT_ONLY_WHERE_KEPT = (*SHARED, "verbosity", "store")


def encode_request(request: ChatRequest, *, model: str, encrypted_reasoning: bool = True) -> EncodedRequest:
    """``encrypted_reasoning``: ask an upstream for what keeps its thinking alive between turns, on behalf of clients of
    other dialects; models without thinking may refuse it. Raises ``ClientError`` for what this dialect cannot say."""
    dropped = Dropped()
    if request.dialect == NAME:
        body = own_body(request, model=model, dropped=dropped)
    else:
        body = _foreign_body(request, model=model, dropped=dropped, encrypted_reasoning=encrypted_reasoning)
    return EncodedRequest(orjson.dumps(body), dropped.names)


def own_body(request: ChatRequest, *, model: str, dropped: Dropped) -> JsonObject:
    """For a request that was decoded from this dialect."""
    mine = kept(request.extras)
    body: JsonObject = {"model": model, **encode_input(request, dropped), **_common(request, own=True)}
    body.update(said_only(request.extras))
    body.update({key: mine[key] for key in ("stream", "include", "truncation") if key in mine})
    for key, values in (("reasoning", _reasoning(request, own=True)), ("text", _text(request, own=True))):
        rest = _inner_rest(request, key)
        if values or rest is not None:
            body[key] = {**(rest or {}), **values}
    if request.metadata is not None:
        body["metadata"] = request.metadata
    return body


def _inner_rest(request: ChatRequest, key: str) -> JsonObject | None:
    """What the decoder left of an object, out of sight or in it; ``None`` if there was no object."""
    match kept(request.extras).get(key):
        case [dict() as rest]:
            return rest
        case _:
            return nested(request.extras, key) or None


def _foreign_body(request: ChatRequest, *, model: str, dropped: Dropped, encrypted_reasoning: bool) -> JsonObject:
    _check(request)
    check_prefill(request)
    _note(request, dropped)
    body: JsonObject = {"model": model, **encode_input(request, dropped), **_common(request, own=False)}
    include: list[Json] = [ENCRYPTED] if encrypted_reasoning else []
    if request.sampling.logprobs:
        include.append(LOGPROBS)
    values: JsonObject = {
        "reasoning": _reasoning(request, own=False) or None,
        "text": _text(request, own=False) or None,
        "include": include or None,
        **_shared(request),
    }
    body.update({key: value for key, value in values.items() if value is not None})
    body["store"] = False
    return body


def _check(request: ChatRequest) -> None:
    if request.choices > 1:
        raise not_expressible(word(request, "n"))
    if request.sampling.stop:
        raise not_expressible(word(request, "stop"))


def _note(request: ChatRequest, dropped: Dropped) -> None:
    used = _CHAT_ONLY_WHERE_KEPT if request.dialect == _CHAT else ()
    note_extras(request, dropped, ignore=(request.dialect, *used))
    sampling = request.sampling
    for name, value in (
        ("top_k", sampling.top_k),
        ("presence_penalty", sampling.presence_penalty),
        ("frequency_penalty", sampling.frequency_penalty),
        ("logit_bias", sampling.logit_bias),
        ("metadata", None if request.dialect == _CHAT else request.metadata),
    ):
        dropped.note_if(word(request, name), value)
    if sampling.seed is not None:
        dropped.note("seed")


def _shared(request: ChatRequest) -> JsonObject:
    if request.dialect != _CHAT:
        return {}
    return {"metadata": request.metadata, **{key: request.extras.get(key) for key in SHARED}}


def _common(request: ChatRequest, *, own: bool) -> JsonObject:
    choice = request.tool_choice
    values: JsonObject = {
        "max_output_tokens": request.max_output_tokens,
        "temperature": request.sampling.temperature,
        "top_p": request.sampling.top_p,
        "top_logprobs": request.sampling.top_logprobs,
        "tools": encode_tools(request.tools, own=own) or None,
        "tool_choice": None if choice is None else encode_choice(choice, "tool_choice"),
        "parallel_tool_calls": request.parallel_tool_calls,
        "user": request.user if request.dialect in (NAME, _CHAT) else None,
        "stream": request.stream or None,
    }
    return {key: value for key, value in values.items() if value is not None}


def _reasoning(request: ChatRequest, *, own: bool) -> JsonObject:
    if request.reasoning is None:
        return {}
    effort = request.reasoning.effort if own else effort_of(request.reasoning)
    out: JsonObject = {} if effort is None else {"effort": effort}
    if not own and _shows(request.reasoning, request.dialect):
        out["summary"] = "auto"
    return out


def _shows(wish: Reasoning, dialect: str) -> bool:
    """Whoever turns thinking on in the words of Messages is shown it unless the client says otherwise."""
    if wish.include is None:
        return bool(wish.enabled) and dialect == Dialect.ANTHROPIC_MESSAGES.value
    return wish.include


def _text(request: ChatRequest, *, own: bool) -> JsonObject:
    output = request.output_format
    out: JsonObject = {} if output is None else {"format": encode_format(output, own=own)}
    if request.dialect == _CHAT and (verbosity := request.extras.get("verbosity")) is not None:
        out["verbosity"] = verbosity
    return out

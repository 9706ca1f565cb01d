"""The response object around an answer: what the client asked for, echoed, and what became of it."""

from __future__ import annotations

import hashlib
import re

from relayhub.dialects.codec import ClientView
from relayhub.dialects.foreign import Dropped
from relayhub.dialects.openai_responses.kept import NAME, kept
from relayhub.dialects.openai_responses.output import Shown
from relayhub.dialects.openai_responses.request import ENCRYPTED
from relayhub.dialects.openai_responses.request_writer import own_body
from relayhub.types.chat import ChatRequest
from relayhub.types.json import Json, JsonObject

_ECHOED: JsonObject = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "prompt_cache_key": None,
    "safety_identifier": None,
    "service_tier": "default",
    "temperature": 1.0,
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
"""Fields of the request that a response says again, with what they are if the client did not say."""

_NOT_ID = re.compile(r"[^A-Za-z0-9_-]")


def new_response(view: ClientView, created: int, upstream_id: str) -> JsonObject:
    """A response in progress, by an upstream of another dialect."""
    return {
        "id": f"resp_{identity(view, upstream_id)}",
        "object": "response",
        "created_at": created or view.created,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "model": view.model,
        "output": [],
        "previous_response_id": None,
        "store": False,
        "usage": None,
        **_echo(view.request),
    }


def identity(view: ClientView, upstream_id: str) -> str:
    """What the ids of an answer and of its items are made of: the same for the same call."""
    if view.call_id:
        return _NOT_ID.sub("", view.call_id)
    return hashlib.blake2b(upstream_id.encode(), digest_size=12).hexdigest()


def _echo(request: ChatRequest | None) -> JsonObject:
    asked: JsonObject = {}
    if request is not None and request.dialect == NAME:
        asked = own_body(request, model="", dropped=Dropped())
    echo: JsonObject = {key: default if asked.get(key) is None else asked[key] for key, default in _ECHOED.items()}
    echo["reasoning"] = {"effort": None, "summary": None, **_object(asked.get("reasoning"))}
    echo["text"] = {"format": {"type": "text"}, "verbosity": "medium", **_object(asked.get("text"))}
    return echo


def _object(value: Json) -> JsonObject:
    return {key: item for key, item in value.items() if item is not None} if isinstance(value, dict) else {}


def shown_to(view: ClientView, upstream_id: str) -> Shown:
    request = view.request
    if request is None:
        return Shown(summary=False, encrypted=False, id=identity(view, upstream_id))
    include = kept(request.extras).get("include") or request.extras.get("include")
    return Shown(
        summary=bool(request.reasoning and request.reasoning.include),
        encrypted=isinstance(include, list) and ENCRYPTED in include,
        id=identity(view, upstream_id),
    )

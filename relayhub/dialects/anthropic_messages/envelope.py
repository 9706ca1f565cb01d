"""The few fields of a request that relaying it needs."""

from __future__ import annotations

from relayhub.dialects.codec import Envelope
from relayhub.dialects.fields import invalid_value, missing, optional, wrong_type
from relayhub.dialects.openai_chat.envelope import read_model, read_user
from relayhub.types import limits
from relayhub.types.errors import invalid_request
from relayhub.types.json import Json, JsonObject


def read_envelope(request: JsonObject) -> Envelope:
    """Raises ``ClientError`` naming the field."""
    envelope = read_count_envelope(request)
    stream = optional(request, "stream", bool, "true or false") or False
    return Envelope(
        model=envelope.model,
        stream=stream,
        include_usage=stream,
        output_cap=_output_cap(request),
        choices=1,
        user=envelope.user,
    )


def read_count_envelope(request: JsonObject) -> Envelope:
    """For a request that only asks how long it is: it needs no cap and never streams."""
    model = read_model(request)
    _check_messages(request.get("messages"), present="messages" in request)
    metadata = optional(request, "metadata", dict, "an object") or {}
    user = optional(metadata, "user_id", str, "a string", "metadata.")
    return Envelope(
        model=model,
        stream=False,
        include_usage=False,
        output_cap=None,
        choices=1,
        user=read_user({"user": user}),
    )


def _check_messages(messages: Json, *, present: bool) -> None:
    if not present:
        raise missing("messages")
    if not isinstance(messages, list):
        raise wrong_type("messages", "an array")
    if not messages:
        raise invalid_request("messages: at least one message is required.", code="empty_array", param="messages")
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            raise wrong_type(f"messages[{index}]", "an object")


def _output_cap(request: JsonObject) -> int:
    """0 only primes the upstream's cache."""
    cap = optional(request, "max_tokens", int, "an integer")
    if cap is None:
        raise missing("max_tokens")
    if not 0 <= cap <= limits.MAX_TOKENS_REPORTED:
        raise invalid_value("max_tokens", f"must be between 0 and {limits.MAX_TOKENS_REPORTED}")
    return cap

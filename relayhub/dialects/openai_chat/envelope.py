"""The few fields of a chat request that relaying it needs."""

from __future__ import annotations

from relayhub.dialects.codec import Envelope
from relayhub.dialects.fields import Fields, invalid_value, missing, wrong_type
from relayhub.types import limits
from relayhub.types.errors import invalid_request
from relayhub.types.json import Json, JsonObject

MAX_CHOICES = 128
"""What OpenAI itself allows for ``n``."""


def read_envelope(request: JsonObject) -> Envelope:
    """Raises ``ClientError`` naming the field."""
    model = read_model(request)
    _check_messages(request.get("messages"), present="messages" in request)
    fields = Fields(request, "")
    stream = fields.optional_flag("stream") or False
    options = fields.optional_object("stream_options")
    asked = Fields(options, "stream_options").optional_flag("include_usage") if options else None
    return Envelope(
        model=model,
        stream=stream,
        include_usage=stream and bool(asked),
        output_cap=_output_cap(fields),
        choices=_choices(fields),
        user=read_user(fields),
    )


def read_model(request: JsonObject) -> str:
    model = request.get("model")
    if model is None:
        raise missing("model")
    if not isinstance(model, str):
        raise wrong_type("model", "a string")
    if not model.strip():
        raise invalid_value("model", "must not be empty")
    return model


def _check_messages(messages: Json, *, present: bool) -> None:
    if not present:
        raise missing("messages")
    if not isinstance(messages, list):
        raise wrong_type("messages", "an array")
    if not messages:
        raise invalid_request("messages must contain at least one item.", code="empty_array", param="messages")
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            raise wrong_type(f"messages[{index}]", "an object")


def _choices(fields: Fields) -> int:
    choices = fields.optional_integer("n")
    if choices is not None and not 1 <= choices <= MAX_CHOICES:
        raise invalid_value("n", f"must be between 1 and {MAX_CHOICES}")
    return 1 if choices is None else choices


def _output_cap(fields: Fields) -> int | None:
    """The larger where both spellings are given: which one an upstream obeys is not known here."""
    caps = [cap for key in ("max_completion_tokens", "max_tokens") if (cap := _cap(fields, key)) is not None]
    return max(caps, default=None)


def _cap(fields: Fields, key: str) -> int | None:
    cap = fields.optional_integer(key)
    if cap is not None and not 1 <= cap <= limits.MAX_TOKENS_REPORTED:
        raise invalid_value(key, f"must be between 1 and {limits.MAX_TOKENS_REPORTED}")
    return cap


def read_user(fields: Fields) -> str | None:
    """Who the client says its user is, printable and cut, for the usage row."""
    users = [fields.optional_text(key) for key in ("user", "safety_identifier", "user_identifier")]
    user = next((user for user in users if user), None)
    if user is None:
        return None
    user = user[: limits.MAX_USER_IDENTIFIER]
    return user if user.isprintable() else "".join(char if char.isprintable() else "?" for char in user)

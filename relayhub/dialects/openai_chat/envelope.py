"""The few fields of a chat request that relaying it needs."""

from __future__ import annotations

from relayhub.dialects.codec import Envelope
from relayhub.dialects.fields import invalid_value, missing, optional, wrong_type
from relayhub.dialects.openai_chat.normalise import is_regular_part
from relayhub.dialects.openai_chat.signed import DETAILS
from relayhub.types import limits
from relayhub.types.errors import ClientError, invalid_request
from relayhub.types.json import JsonObject

USER_FIELDS = ("user", "safety_identifier", "user_identifier")
"""The first that is there counts. :func:`read_envelope` asks for each by name."""

_OPTIONS = "stream_options."

MAX_CHOICES = 128
"""What OpenAI itself allows for ``n``."""


def read_envelope(request: JsonObject) -> Envelope:
    """Raises ``ClientError`` naming the field."""
    model = request.get("model")
    if type(model) is not str or not model or model.isspace():
        model = read_model(request)  # which says what is wrong
    messages = request.get("messages")
    if type(messages) is not list or not messages:
        raise _no_messages(request)
    as_is = True  # plainly nothing of them must change for an upstream: far cheaper than a search through megabytes of base64
    for message in messages:
        if type(message) is not dict:
            index = [type(each) is dict for each in messages].index(False)
            raise wrong_type(f"messages[{index}]", "an object")
        if as_is:  # else it was found out
            if "tool_calls" in message or DETAILS in message:
                as_is = False  # signatures may be in there
            elif type(content := message.get("content")) is list:
                as_is = all(map(is_regular_part, content))
    stream = request.get("stream", False)
    if type(stream) is not bool:
        stream = optional(request, "stream", bool, "true or false") or False
    asked, has_options = False, "stream_options" in request
    if has_options:
        options = request["stream_options"]
        wanted = options.get("include_usage") if type(options) is dict else None
        asked = wanted if type(wanted) is bool else _asks_for_usage(request)
    any_user = "user" in request or "safety_identifier" in request or "user_identifier" in request
    cap, said = None, request.get("max_tokens")
    if "max_completion_tokens" in request:
        cap = _larger_cap(request)
    elif type(said) is int and 1 <= said <= limits.MAX_TOKENS_REPORTED:
        cap = said
    elif said is not None:
        cap = _cap(request, "max_tokens")
    return Envelope(
        model,
        stream,
        stream and asked,
        cap,
        _choices(request) if "n" in request else 1,
        read_user(request) if any_user else None,
        as_is=as_is,
        has_stream_options=has_options,
    )


def _asks_for_usage(request: JsonObject) -> bool:
    options = optional(request, "stream_options", dict, "an object") or {}
    return optional(options, "include_usage", bool, "true or false", _OPTIONS) or False


def read_model(request: JsonObject) -> str:
    model = request.get("model")
    if model is None:
        raise missing("model")
    if type(model) is not str:
        raise wrong_type("model", "a string")
    if not model or model.isspace():
        raise invalid_value("model", "must not be empty")
    return model


def _no_messages(request: JsonObject) -> ClientError:
    if "messages" not in request:
        return missing("messages")
    if type(request["messages"]) is not list:
        return wrong_type("messages", "an array")
    return invalid_request("messages must contain at least one item.", code="empty_array", param="messages")


def _choices(request: JsonObject) -> int:
    choices = optional(request, "n", int, "an integer")
    if choices is not None and not 1 <= choices <= MAX_CHOICES:
        raise invalid_value("n", f"must be between 1 and {MAX_CHOICES}")
    return 1 if choices is None else choices


def _larger_cap(request: JsonObject) -> int | None:
    """Of both spellings: which one an upstream obeys is not known here."""
    cap, legacy = _cap(request, "max_completion_tokens"), _cap(request, "max_tokens")
    return max(cap, legacy) if cap and legacy else cap or legacy


def _cap(request: JsonObject, key: str) -> int | None:
    cap = request.get(key)
    if type(cap) is not int:
        cap = optional(request, key, int, "an integer")
    if cap is not None and not 1 <= cap <= limits.MAX_TOKENS_REPORTED:
        raise invalid_value(key, f"must be between 1 and {limits.MAX_TOKENS_REPORTED}")
    return cap


def read_user(request: JsonObject) -> str | None:
    """Who the client says its user is, printable and cut, for the usage row."""
    user = None
    for key in USER_FIELDS:
        user = user or optional(request, key, str, "a string")
    if not user:
        return None
    user = user[: limits.MAX_USER_IDENTIFIER]
    return user if user.isprintable() else "".join(char if char.isprintable() else "?" for char in user)

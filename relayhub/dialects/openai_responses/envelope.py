"""The few fields of a request that relaying it needs."""

from __future__ import annotations

from relayhub.dialects.codec import Envelope
from relayhub.dialects.fields import invalid_value, missing, optional, wrong_type
from relayhub.dialects.openai_chat.envelope import read_model, read_user
from relayhub.dialects.openai_responses.state import has_stored_input
from relayhub.types import limits
from relayhub.types.errors import invalid_request
from relayhub.types.json import JsonObject


def read_envelope(request: JsonObject) -> Envelope:
    """Raises ``ClientError`` naming the field."""
    model = read_model(request)
    _check_input(request)
    stream = optional(request, "stream", bool, "true or false") or False
    return Envelope(
        model=model,
        stream=stream,
        include_usage=stream,
        output_cap=_output_cap(request),
        choices=1,
        user=read_user(request),
    )


def _check_input(request: JsonObject) -> None:
    match request.get("input"):
        case None if has_stored_input(request):
            pass
        case None:
            raise missing("input")
        case []:
            raise invalid_request("input must contain at least one item.", code="empty_array", param="input")
        case str():
            pass
        case list() as items:
            for index, item in enumerate(items):
                if not isinstance(item, dict):
                    raise wrong_type(f"input[{index}]", "an object")
        case _:
            raise wrong_type("input", "a string or an array of items")


def _output_cap(request: JsonObject) -> int | None:
    cap = optional(request, "max_output_tokens", int, "an integer")
    if cap is not None and not 1 <= cap <= limits.MAX_TOKENS_REPORTED:
        raise invalid_value("max_output_tokens", f"must be between 1 and {limits.MAX_TOKENS_REPORTED}")
    return cap

"""The few fields of a request that relaying it needs. Model, stream and framing stand in the path."""

from __future__ import annotations

from relayhub.dialects.codec import Envelope, Framing
from relayhub.dialects.fields import Fields, invalid_value, missing
from relayhub.dialects.gemini_generate.casing import camel
from relayhub.dialects.gemini_generate.config import CONFIG
from relayhub.dialects.gemini_generate.names import MODEL_PREFIX
from relayhub.dialects.gemini_generate.scalars import take_integer
from relayhub.dialects.openai_chat.envelope import MAX_CHOICES
from relayhub.types import limits
from relayhub.types.errors import invalid_request
from relayhub.types.json import Json, JsonObject


def read_envelope(request: JsonObject, model: str | None, framing: Framing | None) -> Envelope:
    """Raises ``ClientError`` naming the field."""
    fields = Fields(shallow(request), "")
    check_contents(fields)
    config = Fields(shallow(fields.optional_object(CONFIG) or {}), CONFIG)
    return Envelope(
        model=public_model(model),
        stream=framing is not None,
        include_usage=framing is not None,
        output_cap=_bounded(config, "maxOutputTokens", limits.MAX_TOKENS_REPORTED),
        choices=_bounded(config, "candidateCount", MAX_CHOICES) or 1,
        user=None,
        framing=framing or Framing.SSE,
    )


def shallow(value: JsonObject) -> JsonObject:
    """With the object's own names in camelCase."""
    return {camel(key): item for key, item in value.items()}


def public_model(model: str | None) -> str:
    """Without the collection that it is in. A model of another collection keeps that."""
    name = (model or "").removeprefix(MODEL_PREFIX)
    if not name.strip():
        raise missing("model")
    return name


def check_contents(fields: Fields) -> None:
    contents: Json = fields.peek("contents")
    if contents is None:
        raise missing("contents")
    if contents in ([], {}, ""):
        raise invalid_request("contents must contain at least one item.", code="empty_array", param="contents")


def _bounded(config: Fields, key: str, largest: int) -> int | None:
    number = take_integer(config, key)
    if number is not None and not 1 <= number <= largest:
        raise invalid_value(config.at(key), f"must be between 1 and {largest}")
    return number

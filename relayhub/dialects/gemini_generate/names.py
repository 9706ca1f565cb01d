"""The dialect's name, and its own words that several modules know."""

from __future__ import annotations

from relayhub.dialects.fields import nested
from relayhub.types.call import Dialect
from relayhub.types.json import Extras, Json, JsonObject

NAME = Dialect.GEMINI_GENERATE.value

SIGNATURE = "thoughtSignature"

ON_PART, ALONE = "thoughtSignature", "text"
""":attr:`ReasoningPart.wire_field` of a signature without thinking: it stood on the part before it, or on an empty text
of its own."""

PLACEHOLDER = "skip_thought_signature_validator"
"""What the upstream takes in place of the signature of a call that another model made."""

MODEL_PREFIX = "models/"


def kept(extras: Extras) -> JsonObject:
    """What only this dialect writes again and no other misses: spellings. It stands under the dialect's own name."""
    return nested(extras, NAME)


def keeping(flat: Extras, **values: Json) -> Extras:
    """``flat`` with those of ``values`` that are there."""
    said: JsonObject = {key: value for key, value in values.items() if value is not None}
    return {**flat, NAME: said} if said else flat


def said_only(extras: Extras) -> JsonObject:
    """The inverse of :func:`keeping`, without what was kept."""
    return {key: value for key, value in extras.items() if key != NAME}

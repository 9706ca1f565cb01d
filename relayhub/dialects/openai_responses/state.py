"""What only an upstream of this dialect can understand: mostly what needs stored responses.

Such an upstream gets it as it came; any other would answer another question, so there it is refused.
"""

from __future__ import annotations

from relayhub.dialects.fields import nested
from relayhub.types.json import Extras, JsonObject

_STORED_INPUT = ("previous_response_id", "conversation", "prompt")
_NEEDS_STORE = (*_STORED_INPUT, "background")


def has_stored_input(request: JsonObject) -> bool:
    """The conversation so far may be known to the upstream, so that ``input`` need not say anything."""
    return any(request.get(key) for key in _STORED_INPUT)


def essential_fields(extras: Extras) -> tuple[str, ...]:
    """For :attr:`ChatRequest.essential`. References to stored items are opaque parts, which are refused by themselves."""
    stored = [key for key in _NEEDS_STORE if extras.get(key)]
    return (*stored, *_essential_text(nested(extras, "text")))


def _essential_text(text: JsonObject) -> list[str]:
    """A form of answer that the hub has no word for."""
    return ["text.format"] if text.get("format") else []

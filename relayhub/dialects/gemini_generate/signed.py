"""``thoughtSignature``: this dialect's own, or another upstream's opaque value on its way through a client."""

from __future__ import annotations

from dataclasses import dataclass

from relayhub.dialects.gemini_generate.names import NAME
from relayhub.dialects.signatures import mark_base64, unmark_base64
from relayhub.types.chat import ReasoningDelta, ReasoningPart, ToolCallPart, ToolCallStarted

_REDACTED = "redacted:"
"""In front of redacted thinking, which is no signature. Signatures are base64, so they never look like it."""


@dataclass(frozen=True, slots=True)
class Opaque:
    """The opaque values of a part; see :class:`relayhub.types.chat.ReasoningPart`."""

    signature: str | None = None
    redacted: str | None = None
    signer: str | None = None


def read_signature(value: str | None) -> Opaque:
    """An unmarked value is this dialect's own."""
    if not value:
        return Opaque()
    marked = unmark_base64(value)
    if marked is None:
        return Opaque(value, None, NAME)
    signer, inner = marked
    if inner.startswith(_REDACTED):
        return Opaque(None, inner.removeprefix(_REDACTED), signer)
    return Opaque(inner, None, signer)


def write_signature(part: ReasoningPart | ReasoningDelta | ToolCallPart | ToolCallStarted) -> str | None:
    """For a client of this dialect; the inverse of :func:`read_signature`. ``None`` where nobody signed."""
    redacted = part.redacted if isinstance(part, ReasoningPart | ReasoningDelta) else None
    if part.signer is None or not (part.signature or redacted):
        return None
    if part.signer == NAME:
        return part.signature
    return mark_base64(part.signer, part.signature or f"{_REDACTED}{redacted}")


def own_signature(part: ReasoningPart | ToolCallPart) -> str | None:
    """For an upstream of this dialect, to which any other's means nothing."""
    return part.signature or None if part.signer == NAME else None

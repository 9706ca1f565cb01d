"""``encrypted_content``: this dialect's own, or another upstream's signature on its way through a client."""

from __future__ import annotations

from dataclasses import dataclass

from relayhub.dialects.openai_responses.kept import NAME
from relayhub.dialects.signatures import mark, unmark

_REDACTED = "redacted:"
"""In front of redacted thinking, which is no signature. Signatures are base64, so they never look like it."""


@dataclass(frozen=True, slots=True)
class Opaque:
    """The opaque values of a reasoning part; see :class:`relayhub.types.chat.ReasoningPart`."""

    signature: str | None
    redacted: str | None
    signer: str | None


def read_encrypted(text: str | None) -> Opaque:
    """Unmarked thinking is this dialect's own, also where nothing is encrypted."""
    if text is None:
        return Opaque(None, None, NAME)
    marked = unmark(text)
    if marked is None:
        return Opaque(text, None, NAME)
    signer, value = marked
    if value.startswith(_REDACTED):
        return Opaque(None, value.removeprefix(_REDACTED), signer)
    return Opaque(value or None, None, signer)


def write_encrypted(opaque: Opaque) -> str | None:
    """The inverse of :func:`read_encrypted`; ``None`` where nobody signed."""
    if opaque.signer is None:
        return None
    if opaque.signer == NAME:
        return opaque.signature
    value = opaque.signature or ""
    if opaque.redacted is not None:
        value = _REDACTED + opaque.redacted
    return mark(opaque.signer, value)

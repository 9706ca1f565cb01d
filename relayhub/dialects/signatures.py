"""Opaque signatures on their way through a client of another dialect.

A client's dialect may have a place for a signature, but the value belongs to the upstream that made it. There it
travels marked with its signer, so that it is neither taken for the client dialect's own nor given to another upstream.
"""

from __future__ import annotations

import base64
import binascii

_MARK = "rh1:"


def mark(signer: str, value: str) -> str:
    """``rh1:<signer>:<value>``; ``signer`` is a dialect's name, which holds no colon. ``value`` may be empty."""
    return f"{_MARK}{signer}:{value}"


def unmark(text: str) -> tuple[str, str] | None:
    """Signer and value, or ``None`` for a text that was not marked: then it is the client dialect's own."""
    if not text.startswith(_MARK):
        return None
    signer, colon, value = text[len(_MARK) :].partition(":")
    return (signer, value) if colon and signer else None


def mark_base64(signer: str, value: str) -> str:
    """As :func:`mark`, for fields whose value must be base64."""
    return base64.b64encode(mark(signer, value).encode()).decode()


def unmark_base64(text: str) -> tuple[str, str] | None:
    """As :func:`unmark`; a text that is not base64 was not marked."""
    try:
        return unmark(base64.b64decode(text, validate=True).decode())
    except (binascii.Error, ValueError):
        return None

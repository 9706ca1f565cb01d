"""Opaque signatures where this dialect has room for them, in fields that vendors have added and clients send back.

Thinking: ``reasoning_details``, whose values travel marked with their signer. Tool calls: Google's own
``extra_content.google.thought_signature``.
"""

from __future__ import annotations

from collections.abc import Iterable

from relayhub.dialects.fields import nested
from relayhub.dialects.openai_chat.parts import NAME
from relayhub.dialects.signatures import mark, unmark
from relayhub.types.call import Dialect
from relayhub.types.chat import ReasoningPart, ToolCallPart, ToolCallStarted
from relayhub.types.json import Json, JsonObject

DETAILS = "reasoning_details"
EXTRA_CONTENT = "extra_content"

_PLAIN_SIGNERS = frozenset({NAME, Dialect.GEMINI_GENERATE.value})
"""Whose signatures of calls are what the field is meant for."""


def details(parts: Iterable[ReasoningPart]) -> list[Json]:
    """One for each part that somebody else has signed."""
    return [detail for part in parts if (detail := _detail(part)) is not None]


def _detail(part: ReasoningPart) -> JsonObject | None:
    if part.signer in (None, NAME):
        return None
    signer = str(part.signer)
    if part.redacted is not None:
        return {"type": "reasoning.encrypted", "data": mark(signer, part.redacted)}
    if part.signature is None:
        return None
    return {"type": "reasoning.text", "text": part.text, "signature": mark(signer, part.signature)}


def read_details(value: Json) -> list[ReasoningPart]:
    """The inverse of :func:`details`. What a client has from elsewhere is not marked, and left out."""
    parts = []
    for detail in value if isinstance(value, list) else ():
        part = _read_detail(detail) if isinstance(detail, dict) else None
        if part is not None:
            parts.append(part)
    return parts


def _read_detail(detail: JsonObject) -> ReasoningPart | None:
    text = detail.get("text")
    shown = text if isinstance(text, str) else ""
    if (marked := _marked(detail.get("signature"))) is not None:
        signer, signature = marked
        return ReasoningPart(shown, signature=signature, signer=signer, wire_field=DETAILS)
    if (marked := _marked(detail.get("data"))) is not None:
        signer, redacted = marked
        return ReasoningPart(shown, redacted=redacted, signer=signer, wire_field=DETAILS)
    return None


def _marked(value: Json) -> tuple[str, str] | None:
    return unmark(value) if isinstance(value, str) else None


def call_fields(call: ToolCallPart | ToolCallStarted) -> JsonObject:
    """What a signed call has beside the usual fields."""
    if call.signature is None or call.signer is None:
        return {}
    value = call.signature if call.signer in _PLAIN_SIGNERS else mark(call.signer, call.signature)
    return {EXTRA_CONTENT: {"google": {"thought_signature": value}}}


def read_call(call: JsonObject, signer: str) -> tuple[str | None, str | None]:
    """Signature and signer of a call; ``signer``: whose it is unless it says so itself."""
    value = nested(nested(call, EXTRA_CONTENT), "google").get("thought_signature")
    if not isinstance(value, str) or not value:
        return None, None
    marked = unmark(value)
    return (value, signer) if marked is None else (marked[1], marked[0])


def is_foreign_call(call: JsonObject) -> bool:
    """Its signature is marked: not Google's, and not from an upstream of this dialect."""
    return read_call(call, NAME)[1] not in (None, NAME)

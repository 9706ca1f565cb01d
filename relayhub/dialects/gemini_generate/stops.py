"""Finish reasons, both ways. This dialect has no word for calls: an answer with calls ends with ``STOP``."""

from __future__ import annotations

from relayhub.types.chat import FinishReason
from relayhub.types.errors import ErrorKind, UpstreamError
from relayhub.types.json import Json

_FILTERED = frozenset(
    {
        "SAFETY",
        "RECITATION",
        "LANGUAGE",
        "BLOCKLIST",
        "PROHIBITED_CONTENT",
        "SPII",
        "MODEL_ARMOR",
        "ESCALATION",
        "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_RECITATION",
        "IMAGE_OTHER",
    }
)
_LENGTH = frozenset({"MAX_TOKENS", "CONTINUATION"})
_USUAL = frozenset({"STOP", "MAX_TOKENS", "SAFETY"})
"""What the hub's words stand for; any other word is kept beside them."""

_WRITTEN = {
    FinishReason.STOP: "STOP",
    FinishReason.TOOL_CALLS: "STOP",
    FinishReason.FUNCTION_CALL: "STOP",
    FinishReason.LENGTH: "MAX_TOKENS",
    FinishReason.CONTENT_FILTER: "SAFETY",
}


def read_stop(said: Json, *, calls: bool, produced: bool) -> tuple[FinishReason, str | None]:
    """The reason, and the upstream's word where the hub's loses something. ``calls``: the answer has some;
    ``produced``: it has anything beside thinking. Raises ``UpstreamError`` for an answer that failed before there was
    any."""
    word = said.upper() if isinstance(said, str) else ""
    native = word if word not in _USUAL else None
    if word in _LENGTH:
        return FinishReason.LENGTH, native
    if word in _FILTERED:
        return FinishReason.CONTENT_FILTER, native
    if word != "STOP" and not produced:
        raise _failed(word)
    return (FinishReason.TOOL_CALLS if calls else FinishReason.STOP), native


def _failed(word: str) -> UpstreamError:
    return UpstreamError(
        ErrorKind.UPSTREAM_FAILED,
        f"The upstream's model gave no answer ({word[:60] or 'no reason'}); try again, or change the request.",
        code="upstream_no_answer",
        retryable=False,
        delivered=True,
        detail=word[:200],
    )


def write_stop(reason: FinishReason, native: str | None, *, own: bool) -> str:
    """``own``: ``native`` is a word of this dialect."""
    return native if own and native else _WRITTEN[reason]

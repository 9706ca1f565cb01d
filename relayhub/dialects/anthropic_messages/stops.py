"""Stop reasons, both ways."""

from __future__ import annotations

from relayhub.types.chat import FinishReason
from relayhub.types.json import Json

_READ = {
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "pause_turn": FinishReason.STOP,
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "tool_use": FinishReason.TOOL_CALLS,
    "refusal": FinishReason.CONTENT_FILTER,
}
_LOSSY = frozenset({"pause_turn", "model_context_window_exceeded"})
"""The hub's word says less."""

_WRITTEN = {
    FinishReason.STOP: "end_turn",
    FinishReason.LENGTH: "max_tokens",
    FinishReason.TOOL_CALLS: "tool_use",
    FinishReason.FUNCTION_CALL: "tool_use",
    FinishReason.CONTENT_FILTER: "refusal",
}


def read_stop(said: Json, *, calls: bool) -> tuple[FinishReason, str | None]:
    """The reason, and the upstream's word where the hub's loses something. A cut or refused answer stays one even with
    calls in it; otherwise any call decides."""
    word = said if isinstance(said, str) else ""
    reason = _READ.get(word, FinishReason.STOP)
    native = word if word in _LOSSY or (word and word not in _READ) else None
    if reason in (FinishReason.STOP, FinishReason.TOOL_CALLS) and word != "pause_turn":
        reason = FinishReason.TOOL_CALLS if calls else FinishReason.STOP
    return reason, native


def write_stop(
    reason: FinishReason, stop_sequence: str | None, native: str | None, *, calls: bool
) -> tuple[str, str | None]:
    """``stop_reason`` and ``stop_sequence``; ``calls``: the answer has tool calls in it."""
    if native in _LOSSY:
        return native, None
    if reason in (FinishReason.LENGTH, FinishReason.CONTENT_FILTER):
        return _WRITTEN[reason], None
    if calls:
        return "tool_use", None
    if stop_sequence is not None:
        return "stop_sequence", stop_sequence
    return "end_turn", None

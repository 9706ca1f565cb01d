"""Finish reasons: five legal values, whatever an upstream says."""

from __future__ import annotations

from relayhub.types.chat import FinishReason
from relayhub.types.json import Json

_LEGAL = {reason.value: reason for reason in FinishReason}
_OTHER_SPELLINGS = {
    "max_tokens": FinishReason.LENGTH,
    "max_output_tokens": FinishReason.LENGTH,
    "model_length": FinishReason.LENGTH,
    "tool_use": FinishReason.TOOL_CALLS,
    "tool_call": FinishReason.TOOL_CALLS,
    "safety": FinishReason.CONTENT_FILTER,
    "recitation": FinishReason.CONTENT_FILTER,
    "sensitive": FinishReason.CONTENT_FILTER,
    "refusal": FinishReason.CONTENT_FILTER,
}


def finish_reason(said: Json, *, tool_calls: bool) -> FinishReason:
    """A cut or filtered answer stays one even with tool calls in it (they are not runnable); otherwise any tool call
    decides, because upstreams say ``stop`` too."""
    text = said.lower() if isinstance(said, str) else ""
    reason = _LEGAL.get(text) or _OTHER_SPELLINGS.get(text, FinishReason.STOP)
    if tool_calls and reason in (FinishReason.STOP, FinishReason.FUNCTION_CALL):
        return FinishReason.TOOL_CALLS
    return reason

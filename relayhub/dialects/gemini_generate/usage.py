"""Usage objects, both ways. This dialect counts thinking beside the answer, the hub within it."""

from __future__ import annotations

from relayhub.dialects.gemini_generate.scalars import integer_of
from relayhub.types import limits
from relayhub.types.json import Json, JsonObject
from relayhub.types.usage import Usage

_INPUT = ("promptTokenCount", "toolUsePromptTokenCount")
_CANDIDATES, _THOUGHTS, _TOTAL, _CACHED = (
    "candidatesTokenCount",
    "thoughtsTokenCount",
    "totalTokenCount",
    "cachedContentTokenCount",
)


def read_usage(value: Json) -> Usage | None:
    """``None`` where there is no usage, or none that can be believed: the counts are another party's word, so they are
    taken only as integers within bounds, and details only within their totals."""
    if not isinstance(value, dict):
        return None
    names = (*_INPUT, _CANDIDATES, _THOUGHTS, _TOTAL, _CACHED)
    counts = {name: integer_of(value[name]) for name in names if value.get(name) is not None}
    if any(count is None or not 0 <= count <= limits.MAX_TOKENS_REPORTED for count in counts.values()):
        return None
    if _INPUT[0] not in counts and _CANDIDATES not in counts:
        return None
    given = sum(counts.get(name) or 0 for name in _INPUT)
    thought = counts.get(_THOUGHTS) or 0
    made = (counts.get(_CANDIDATES) or 0) + thought
    total = counts.get(_TOTAL)
    if total is not None and total != given + made and total >= given:
        # Some surfaces count the thinking within the answer too; the total is right everywhere.
        made = total - given
    return Usage(
        input_tokens=given,
        output_tokens=made,
        cached_tokens=min(counts.get(_CACHED) or 0, given),
        reasoning_tokens=min(thought, made),
    )


def write_usage(usage: Usage) -> JsonObject:
    out: JsonObject = {
        _INPUT[0]: usage.input_tokens,
        _CANDIDATES: usage.output_tokens - usage.reasoning_tokens,
        _TOTAL: usage.input_tokens + usage.output_tokens,
    }
    if usage.cached_tokens:
        out[_CACHED] = usage.cached_tokens
    if usage.reasoning_tokens:
        out[_THOUGHTS] = usage.reasoning_tokens
    return out

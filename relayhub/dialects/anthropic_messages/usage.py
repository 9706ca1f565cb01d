"""Usage objects, both ways. This dialect counts cached and cache-written input beside the rest, the hub within it."""

from __future__ import annotations

from collections.abc import Mapping

from relayhub.types import limits
from relayhub.types.json import Json, JsonObject
from relayhub.types.usage import Usage

_INPUT = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
_OUTPUT = "output_tokens"


def read_usage(value: Json) -> Usage | None:
    """``None`` where there is no usage, or none that can be believed: the counts are another party's word, so they are
    taken only as integers within bounds."""
    if not isinstance(value, dict):
        return None
    counts = {key: _count(value, key) for key in (*_INPUT, _OUTPUT)}
    if any(count is None and value.get(key) is not None for key, count in counts.items()):
        return None
    if counts["input_tokens"] is None and counts[_OUTPUT] is None:
        return None
    made = counts[_OUTPUT] or 0
    details = value.get("output_tokens_details")
    thought = _count(details, "thinking_tokens") if isinstance(details, dict) else None
    return Usage(
        input_tokens=sum(counts[key] or 0 for key in _INPUT),
        output_tokens=made,
        cached_tokens=counts["cache_read_input_tokens"] or 0,
        cache_write_tokens=counts["cache_creation_input_tokens"] or 0,
        reasoning_tokens=min(thought or 0, made),
    )


def _count(value: Mapping[str, Json], key: str) -> int | None:
    count = value.get(key)
    return count if type(count) is int and 0 <= count <= limits.MAX_TOKENS_REPORTED else None


def merged(before: JsonObject, now: Json) -> JsonObject:
    """Usage is cumulative: what is said anew replaces what was said, what is left out stays."""
    if not isinstance(now, dict):
        return before
    return {**before, **{key: value for key, value in now.items() if value is not None}}


def write_usage(usage: Usage) -> JsonObject:
    out: JsonObject = {
        "input_tokens": max(0, usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens),
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.output_tokens,
    }
    if usage.reasoning_tokens:
        out["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    return out


def estimated(input_tokens: int) -> JsonObject:
    """Before the upstream has counted, or where it never does: clients of this dialect expect numbers."""
    return write_usage(Usage(input_tokens=input_tokens))

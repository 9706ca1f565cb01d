"""Usage objects, both ways."""

from __future__ import annotations

from collections.abc import Mapping

from relayhub.types import limits
from relayhub.types.json import Json, JsonObject
from relayhub.types.usage import Usage


def read_usage(value: Json) -> Usage | None:
    """``None`` where there is no usage, or none that can be believed: the counts are another party's word, so they are
    taken only as integers within bounds, and details only within their totals."""
    if not isinstance(value, dict):
        return None
    counted = _count(value, "prompt_tokens"), _count(value, "completion_tokens")
    if counted == (None, None):
        return None
    if any(value.get(key) is not None and _count(value, key) is None for key in ("prompt_tokens", "completion_tokens")):
        return None
    given, made = counted[0] or 0, counted[1] or 0
    prompt, completion = _details(value, "prompt_tokens_details"), _details(value, "completion_tokens_details")
    # Compatible upstreams without the details object say it beside the totals.
    elsewhere = _count(value, "prompt_cache_hit_tokens"), _count(value, "cached_tokens")
    cached = min(_first(_count(prompt, "cached_tokens"), *elsewhere), given)
    return Usage(
        input_tokens=given,
        output_tokens=made,
        cached_tokens=cached,
        cache_write_tokens=min(_first(_count(prompt, "cache_write_tokens")), given - cached),
        reasoning_tokens=min(_first(_count(completion, "reasoning_tokens")), made),
    )


def _count(value: Mapping[str, Json], key: str) -> int | None:
    count = value.get(key)
    return count if type(count) is int and 0 <= count <= limits.MAX_TOKENS_REPORTED else None


def _details(value: Mapping[str, Json], key: str) -> Mapping[str, Json]:
    details = value.get(key)
    return details if isinstance(details, dict) else {}


def _first(*counts: int | None) -> int:
    return next((count for count in counts if count is not None), 0)


def write_usage(usage: Usage) -> JsonObject:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }

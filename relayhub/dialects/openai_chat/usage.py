"""Usage objects, both ways."""

from __future__ import annotations

from collections.abc import Mapping

from relayhub.types import limits
from relayhub.types.json import Json, JsonObject
from relayhub.types.usage import Usage

_MOST = limits.MAX_TOKENS_REPORTED

_HITS, _CACHED = "prompt_cache_hit_tokens", "cached_tokens"
_ELSEWHERE = (_HITS, _CACHED)
"""Where compatible upstreams without the details object say what was cached: beside the totals."""


def read_usage(value: object) -> Usage | None:
    """``value``: any JSON. ``None`` where there is no usage, or none that can be believed: the counts are another party's
    word, so they are taken only as integers within bounds, and details only within their totals."""
    if not isinstance(value, dict):
        return None
    given, made = value.get("prompt_tokens"), value.get("completion_tokens")
    if type(given) is int and type(made) is int and 0 <= given <= _MOST and 0 <= made <= _MOST:
        total, written = given, made  # nearly always
    elif (given is None and made is None) or not (_may_count(given) and _may_count(made)):
        return None
    else:
        total, written = _count(value, "prompt_tokens"), _count(value, "completion_tokens")
    prompt, completion = value.get("prompt_tokens_details"), value.get("completion_tokens_details")
    if not (prompt or completion or value.get(_HITS) or value.get(_CACHED)):
        return Usage(total, written)
    said = prompt if isinstance(prompt, dict) else {}
    inside = _first(said, "cached_tokens")
    cached = min(inside if inside is not None else _first(value, *_ELSEWHERE) or 0, total)
    return Usage(
        input_tokens=total,
        output_tokens=written,
        cached_tokens=cached,
        cache_write_tokens=min(_count(said, "cache_write_tokens"), total - cached),
        reasoning_tokens=min(_count(completion, "reasoning_tokens"), written) if isinstance(completion, dict) else 0,
    )


def _may_count(count: Json) -> bool:
    return count is None or _counts(count)


def _counts(count: Json) -> bool:
    return type(count) is int and 0 <= count <= limits.MAX_TOKENS_REPORTED


def _count(value: Mapping[str, Json], key: str) -> int:
    """0 where there is none that can be believed."""
    return _first(value, key) or 0


def _first(value: Mapping[str, Json], *keys: str) -> int | None:
    for key in keys:
        count = value.get(key)
        if type(count) is int and 0 <= count <= limits.MAX_TOKENS_REPORTED:
            return count
    return None


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

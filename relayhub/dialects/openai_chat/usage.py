"""Usage objects, both ways."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from relayhub.types import limits
from relayhub.types.json import JsonObject
from relayhub.types.usage import Usage

_MOST = limits.MAX_TOKENS_REPORTED


class Counts(msgspec.Struct):
    """A usage object, as far as it is read: any JSON in each place. The last two: where compatible upstreams without the
    details object say what was cached, beside the totals."""

    prompt_tokens: object = None
    completion_tokens: object = None
    prompt_tokens_details: object = None
    completion_tokens_details: object = None
    prompt_cache_hit_tokens: object = None
    cached_tokens: object = None


Said: TypeAlias = Counts | list[msgspec.Raw] | str | float | bool | None
"""Any JSON, read for :func:`usage_of`."""


def read_usage(value: object) -> Usage | None:
    """``value``: any JSON, as it was parsed; see :func:`usage_of`."""
    return usage_of(msgspec.convert(value, Counts)) if isinstance(value, dict) else None


def usage_of(counts: Said) -> Usage | None:
    """``None`` where there is no usage, or none that can be believed: the counts are another party's word, so they are taken
    only as integers within bounds, and details only within their totals."""
    if not isinstance(counts, Counts):
        return None
    given, made = counts.prompt_tokens, counts.completion_tokens
    if type(given) is int and type(made) is int and 0 <= given <= _MOST and 0 <= made <= _MOST:
        total, written = given, made  # nearly always
    elif (given is None and made is None) or not (_may_count(given) and _may_count(made)):
        return None
    else:
        total, written = _count(given), _count(made)
    prompt, completion = counts.prompt_tokens_details, counts.completion_tokens_details
    if not (prompt or completion or counts.prompt_cache_hit_tokens or counts.cached_tokens):
        return Usage(total, written)
    said = prompt if isinstance(prompt, dict) else {}
    thought = completion if isinstance(completion, dict) else {}
    inside = _first(said.get("cached_tokens"))
    beside = _first(counts.prompt_cache_hit_tokens, counts.cached_tokens)
    cached = min(inside if inside is not None else beside or 0, total)
    return Usage(
        input_tokens=total,
        output_tokens=written,
        cached_tokens=cached,
        cache_write_tokens=min(_count(said.get("cache_write_tokens")), total - cached),
        reasoning_tokens=min(_count(thought.get("reasoning_tokens")), written),
    )


def _may_count(count: object) -> bool:
    return count is None or _first(count) is not None


def _count(count: object) -> int:
    """0 where it cannot be believed."""
    return _first(count) or 0


def _first(*counts: object) -> int | None:
    """Of those that can be believed."""
    for count in counts:
        if type(count) is int and 0 <= count <= _MOST:
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

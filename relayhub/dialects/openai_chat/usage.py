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


UsageValue: TypeAlias = Counts | list[msgspec.Raw] | str | float | bool | None
"""What may stand where a usage object belongs, decoded for :func:`usage_of`: any JSON but for numbers that are too large to
be read, here and in what :class:`Counts` reads."""


def read_usage(value: object) -> Usage | None:
    """``value``: any JSON, as it was parsed; see :func:`usage_of`."""
    return usage_of(msgspec.convert(value, Counts)) if isinstance(value, dict) else None


def usage_of(value: UsageValue) -> Usage | None:
    """``None`` where there is no usage, or none that can be believed: the counts are another party's word, so they are taken
    only as integers within bounds, and details only within their totals."""
    if not isinstance(value, Counts):
        return None
    prompt, completion = value.prompt_tokens, value.completion_tokens
    if type(prompt) is int and type(completion) is int and 0 <= prompt <= _MOST and 0 <= completion <= _MOST:
        total, written = prompt, completion  # nearly always
    elif (prompt is None and completion is None) or not (_may_count(prompt) and _may_count(completion)):
        return None
    else:
        total, written = _count(prompt), _count(completion)
    of_input, of_output = value.prompt_tokens_details, value.completion_tokens_details
    if not (of_input or of_output or value.prompt_cache_hit_tokens or value.cached_tokens):
        return Usage(total, written)
    of_input = of_input if isinstance(of_input, dict) else {}
    of_output = of_output if isinstance(of_output, dict) else {}
    inside = _believed(of_input.get("cached_tokens"))
    beside = _believed(value.prompt_cache_hit_tokens, value.cached_tokens)
    cached = min(inside if inside is not None else beside or 0, total)
    return Usage(
        input_tokens=total,
        output_tokens=written,
        cached_tokens=cached,
        cache_write_tokens=min(_count(of_input.get("cache_write_tokens")), total - cached),
        reasoning_tokens=min(_count(of_output.get("reasoning_tokens")), written),
    )


def _may_count(count: object) -> bool:
    """Whether it can be believed, or is not there."""
    return count is None or _believed(count) is not None


def _count(count: object) -> int:
    """0 where it cannot be believed."""
    return _believed(count) or 0


def _believed(*counts: object) -> int | None:
    """The first of them that can be believed, as an integer within bounds; ``None``: none can."""
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

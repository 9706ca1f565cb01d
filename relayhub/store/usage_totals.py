"""What calls add up to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import add
from typing import Any

from relayhub.store.usage_histogram import percentile
from relayhub.store.usage_levels import Span
from relayhub.store.usage_sums import LATENCIES, MEASURES
from relayhub.types.json import JsonObject


@dataclass(frozen=True, slots=True)
class UsageSum:
    """What some calls add up to. ``errors``: calls with an error code; ``estimated``: calls whose counts are an estimate;
    ``upstream_cost_nano``: what the upstreams charged, as far as that is known; ``duration_ms``: all durations.
    ``latencies``: calls by duration, see :mod:`relayhub.store.usage_histogram`."""

    calls: int = 0
    errors: int = 0
    estimated: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    images: int = 0
    characters: int = 0
    audio_ms: int = 0
    video_ms: int = 0
    cost_nano: int = 0
    shortfall_nano: int = 0
    upstream_cost_nano: int = 0
    duration_ms: int = 0
    latencies: tuple[int, ...] = (0,) * len(LATENCIES)

    def __add__(self, other: UsageSum) -> UsageSum:
        counts = {name: getattr(self, name) + getattr(other, name) for name in MEASURES}
        return UsageSum(**counts, latencies=tuple(map(add, self.latencies, other.latencies)))

    def latency_ms(self, share: float) -> int | None:
        """What ``share`` of the calls did not exceed; ``None`` without calls."""
        return percentile(self.latencies, share)

    def shown(self) -> JsonObject:
        """All of it by name, with percentiles for the histogram."""
        counts: JsonObject = {name: getattr(self, name) for name in MEASURES}
        return {**counts, **{f"latency_p{share}_ms": self.latency_ms(share / 100) for share in (50, 95, 99)}}


@dataclass(frozen=True, slots=True)
class UsageGroup:
    """``name``: ``None`` for calls without user, or keys without tag. ``id``: of a key or account."""

    name: str | None
    id: str | None
    sum: UsageSum

    def shown(self) -> JsonObject:
        return {"group": self.name, "id": self.id, **self.sum.shown()}


@dataclass(frozen=True, slots=True)
class UsageTotals:
    """``span``: what was added up: whole days where single calls are not kept any more. ``groups``: dearest first, days in
    their order, up to the number that was asked for. ``total``: of all calls, whatever the groups are."""

    span: Span
    total: UsageSum
    groups: tuple[UsageGroup, ...]


def group_of(row: Mapping[Any, Any]) -> UsageGroup:
    name = row["name"]
    shown = datetime.fromtimestamp(name, UTC).date().isoformat() if isinstance(name, int) else name
    return UsageGroup(shown, row["id"], sum_of(row))


def sum_of(row: Mapping[Any, Any]) -> UsageSum:
    return UsageSum(**{name: row[name] for name in MEASURES}, latencies=tuple(row[name] for name in LATENCIES))

"""How long calls took, counted in fixed buckets: histograms of any days add up, and percentiles are read from the sum."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

_TENTHS = (10, 12, 16, 20, 25, 32, 40, 50, 63, 80)
"""Ten steps of about 26 % to the next power of ten."""
_FIFTHS = (10, 16, 25, 40, 63)

BOUNDS_MS: tuple[int, ...] = (
    *(step * 10**power for power in range(4) for step in _TENTHS),
    *(step * 10**power for power in range(4, 7) for step in _FIFTHS),
    10**8,
)
"""The largest duration of each bucket but the last, which has the rest: 10 ms to 28 hours, finer below 100 s. They are in the
database: other bounds need a migration."""

BUCKETS = len(BOUNDS_MS) + 1


def percentile(counts: Sequence[int], share: float) -> int | None:
    """Milliseconds that ``share`` of the calls did not exceed, at most one bucket beside the truth; ``None`` without calls.
    Calls of one bucket are taken to lie evenly in it; beyond the last bound it is that bound."""
    rank = share * sum(counts)
    if not rank:
        return None
    for bucket, reached in enumerate(accumulate(counts)):
        if reached >= rank and counts[bucket]:
            return _within(bucket, 1 - (reached - rank) / counts[bucket])
    return BOUNDS_MS[-1]


def _within(bucket: int, part: float) -> int:
    if bucket == len(BOUNDS_MS):
        return BOUNDS_MS[-1]
    below = BOUNDS_MS[bucket - 1] if bucket else 0
    return round(below + (BOUNDS_MS[bucket] - below) * part)

"""One rhythm for all that looks around again and again, so that an idle process wakes once for all of it.

To wake a process that sleeps costs far more than the looks themselves. Periods that are multiples of each other meet.
"""

from __future__ import annotations

_SOON = 0.1
"""A timer may ring a little early: what is closer than this share of a period was meant by it."""


def until_next(now: float, every_s: float) -> float:
    """Seconds to the next multiple of ``every_s`` by a clock that all share; never more than 1.1 periods. ``now``: its
    monotonic time."""
    left_s = every_s - now % every_s
    return left_s if left_s > _SOON * every_s else left_s + every_s

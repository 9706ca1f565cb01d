"""How many CPUs this process may use."""

from __future__ import annotations

import math
import os
from pathlib import Path

QUOTA = Path("/sys/fs/cgroup/cpu.max")


def usable_cpus(quota: Path = QUOTA) -> int:
    """Those that it may run on, and no more than its control group pays for (``quota``: microseconds and period)."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(allowed, _paid(quota) or allowed))


def _paid(quota: Path) -> int | None:
    try:
        spent, _, period = quota.read_text().partition(" ")
        return math.ceil(int(spent) / int(period))
    except (OSError, ValueError, ZeroDivisionError):  # no such file, or "max"
        return None

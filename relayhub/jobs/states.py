"""Which state may follow which."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from relayhub.types.job import TERMINAL
from relayhub.types.media import JobState

_RUNNING = frozenset({JobState.IN_PROGRESS}) | TERMINAL

NEXT: Mapping[JobState, frozenset[JobState]] = MappingProxyType(
    {
        JobState.NEW: frozenset({JobState.SUBMIT_UNKNOWN, JobState.QUEUED}) | _RUNNING,
        JobState.SUBMIT_UNKNOWN: frozenset({JobState.QUEUED}) | _RUNNING,
        JobState.QUEUED: _RUNNING,
        JobState.IN_PROGRESS: TERMINAL,
        JobState.SUCCEEDED: frozenset(),
        JobState.FAILED: frozenset(),
        JobState.CANCELLED: frozenset(),
    }
)


def before(state: JobState) -> frozenset[JobState]:
    """From which states one may come to ``state``."""
    return frozenset(start for start, ends in NEXT.items() if state in ends)


OPEN = frozenset(JobState) - TERMINAL

"""When to look at a job again, and how far it seems to be."""

from __future__ import annotations

from relayhub.sdk.clock import Clock
from relayhub.store.jobs import Jobs
from relayhub.types.job import Job
from relayhub.types.media import JobState, PollPace

LONGEST_BACKOFF_S = 60.0
USUAL_S = 90.0
"""Assumed for a model that has made nothing yet."""
REMEMBERED_S = 60.0
MAX_REMEMBERED = 200
"""Models; with a wildcard it is clients who name them."""
SHOWN_FIRST, SHOWN_MOST, SHOWN_SPAN = 10, 90, 80
"""Percent shown at the start of the work, and before its end."""


def next_look_s(pace: PollPace, elapsed_s: float) -> float:
    """Seconds until the next look at a job that was accepted ``elapsed_s`` ago."""
    if elapsed_s >= pace.patient_after_s:
        return pace.patient_every_s
    return pace.slow_every_s if elapsed_s >= pace.slow_after_s else pace.every_s


def backoff_s(pace: PollPace, failures: int) -> float:
    """After this many failed looks in a row."""
    longest: float = min(pace.every_s * 2 ** min(failures, 10), max(LONGEST_BACKOFF_S, pace.every_s))
    return longest


class Progress:
    """No upstream says how far it is: the time that the model usually takes does."""

    def __init__(self, jobs: Jobs, clock: Clock) -> None:
        self._jobs = jobs
        self._clock = clock
        self._usual: dict[str, tuple[float, float]] = {}
        """Model → when asked, and seconds."""

    async def of(self, job: Job, said: int | None) -> int:
        """Percent; never falling. ``said``: by the upstream."""
        if job.state is not JobState.IN_PROGRESS:
            return job.progress
        if said is not None:
            return max(job.progress, min(max(said, 0), 99))
        elapsed = self._clock.now() - (job.started_at or job.created_at)
        share = elapsed / max(await self._usual_s(job.model), 1.0)
        return max(job.progress, min(SHOWN_MOST, SHOWN_FIRST + int(SHOWN_SPAN * share)))

    async def _usual_s(self, model: str) -> float:
        asked_at, seconds = self._usual.get(model, (-REMEMBERED_S, USUAL_S))
        if self._clock.monotonic() - asked_at >= REMEMBERED_S:
            seconds = await self._jobs.usual_duration_s(model) or USUAL_S
            if len(self._usual) >= MAX_REMEMBERED:
                self._usual.clear()
            self._usual[model] = self._clock.monotonic(), seconds
        return seconds

"""Waiting for a job to change: at once where it changes in this process, soon where another one looks after it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

from relayhub.sdk.clock import Clock
from relayhub.store.jobs import Jobs
from relayhub.types.job import Job

LOOK_EVERY_S = 1.0


class Watch:
    def __init__(self, jobs: Jobs, clock: Clock) -> None:
        self._jobs = jobs
        self._clock = clock
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    def changed(self, job_id: str) -> None:
        """Wake whoever waits for this job here."""
        for event in self._waiting.get(job_id, ()):
            event.set()

    async def changes(self, job: Job, *, until: Callable[[], bool] = lambda: False) -> AsyncIterator[Job]:
        """The job each time a client could see a difference, up to its end or ``until`` is true; not as it is now."""
        revision = job.revision
        with self._listening(job.id) as event:
            while job.is_open and not until():
                await self._pause(event)
                event.clear()
                found = await self._jobs.get(job.id)
                if found is None:
                    return
                job = found
                if job.revision != revision:
                    revision = job.revision
                    yield job

    async def end(self, job: Job, within_s: float) -> Job:
        """The job at its end, or as it is when the time is over."""
        deadline = self._clock.monotonic() + within_s
        async for changed in self.changes(job, until=lambda: self._clock.monotonic() >= deadline):
            job = changed
        return job

    async def _pause(self, event: asyncio.Event) -> None:
        woken = asyncio.ensure_future(event.wait())
        tick = asyncio.ensure_future(self._clock.sleep(LOOK_EVERY_S))
        try:
            await asyncio.wait({woken, tick}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            woken.cancel()
            tick.cancel()

    @contextmanager
    def _listening(self, job_id: str) -> Iterator[asyncio.Event]:
        event = asyncio.Event()
        self._waiting[job_id].add(event)
        try:
            yield event
        finally:
            self._waiting[job_id].discard(event)
            if not self._waiting[job_id]:
                del self._waiting[job_id]

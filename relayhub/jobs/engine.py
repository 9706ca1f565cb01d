"""The engine: looks after every open job, a bounded number at a time, and owns the tasks in which money is spent."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

import structlog

from relayhub.jobs.asked import MediaCall
from relayhub.jobs.binding import provider_of
from relayhub.jobs.endings import Endings
from relayhub.jobs.files import FileStore
from relayhub.jobs.looking import Looking
from relayhub.jobs.submission import SUBMIT_S, Submissions, Submitted
from relayhub.jobs.watch import Watch
from relayhub.jobs.webhooks import Webhooks
from relayhub.plugins.isolation import is_own
from relayhub.sdk.clock import Clock
from relayhub.sdk.media import CancellingWire
from relayhub.store.epochs import Epochs
from relayhub.store.jobs import LEASE_S, Jobs
from relayhub.types.errors import ClientError, ErrorKind, HubError, RelayhubError
from relayhub.types.job import Job
from relayhub.types.media import JobState
from relayhub.types.rhythm import until_next

log = structlog.get_logger("relayhub.jobs")

T = TypeVar("T")

TURN_S = 0.25
"""Between two looks at what is due."""
BUSY_TURN_S = 0.01
"""The same while more is due than there is room for, and room comes free."""
LEASE_TURN_S = LEASE_S / 3
SWEEP_S = 60.0
AFTER_BREAK_S = 1.0
SWEPT_AT_ONCE = 200
CLOSE_WAIT_S = 30.0
"""How long paid steps may still take when the hub ends; what is not known by then is looked up later."""


@dataclass(frozen=True, slots=True)
class Parallel:
    """Jobs that are looked at at the same time."""

    total: int = 256
    per_provider: int = 128


@dataclass(frozen=True, slots=True)
class Care:
    """What looks after jobs as one config wants it. ``webhooks``: tell how they ended; ``files``: their results."""

    submissions: Submissions
    looking: Looking
    webhooks: Webhooks
    files: FileStore
    parallel: Parallel


class JobEngine:
    """Build it, then be :meth:`running`."""

    def __init__(
        self,
        jobs: Jobs,
        epochs: Epochs,
        submissions: Submissions,
        looking: Looking,
        endings: Endings,
        watch: Watch,
        webhooks: Webhooks,
        files: FileStore,
        clock: Clock,
        parallel: Parallel,
    ) -> None:
        self.jobs = jobs
        self.watch = watch
        self._epochs = epochs
        self._submissions = submissions
        self._looking = looking
        self._endings = endings
        self._webhooks = webhooks
        self._files = files
        self._clock = clock
        self._parallel = parallel
        self._looks: dict[str, tuple[asyncio.Task[None], str]] = {}
        """Job → the look at it, and its provider."""
        self._crowded = False
        """Whether more was due than there was room for."""
        self._room_again = asyncio.Event()
        self._paid: set[asyncio.Task[object]] = set()

    def adopt(self, care: Care) -> None:
        """From now on this. What has begun, a submit or a look, goes on as it began."""
        self._submissions, self._looking, self._webhooks = care.submissions, care.looking, care.webhooks
        self._files, self._parallel = care.files, care.parallel

    # --- for clients ----------------------------------------------------------------------------------------------------

    async def submit(self, call: MediaCall) -> Submitted:
        """See :meth:`Submissions.submit`. A caller who is cancelled leaves it running."""
        return await self._owned(self._submissions.submit(call))

    async def cancel(self, job: Job) -> Job:
        """Ask the upstream to cancel; the job as it is afterwards. Raises ``ClientError`` CONFLICT where it cannot or does
        not want to, ``UpstreamError``."""
        return await self._owned(self._cancel(job))

    async def _cancel(self, job: Job) -> Job:
        looking = self._looking
        provider = provider_of(looking.providers, job)
        if provider is None or job.upstream_id is None:
            raise _not_cancellable(job)
        wire: object = provider.capabilities.jobs.get(job.kind)
        if not isinstance(wire, CancellingWire):
            raise _not_cancellable(job)
        if not await looking.ask_to_cancel(job, wire, provider):
            raise _not_cancellable(job)
        await self._endings.cancel(job)
        return await self.jobs.get(job.id) or job

    async def _owned(self, work: Coroutine[object, object, T]) -> T:
        """Run in a task of the engine's own. Its failure is told to whoever waits, or logged if nobody does."""
        task = asyncio.create_task(work)
        self._paid.add(task)
        task.add_done_callback(self._paid.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_unheard)
            raise

    # --- running --------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """While the block runs, open jobs are looked after. On leaving, paid steps get some time to end; looks are cut
        off, which costs nothing."""
        await self._epochs.renew()
        await self.jobs.free_dead(self._clock.now())
        work = [self._look_after, self._sweep, self._tell]
        loops = [asyncio.create_task(self._kept_up(loop)) for loop in work]
        leases = asyncio.create_task(self._kept_up(self._keep_leases))
        try:
            yield
        finally:
            await _end(loops)
            await self._close()
            await _end([leases])

    async def _kept_up(self, loop: Callable[[], Awaitable[None]]) -> None:
        """A loop that ends is never missed by anybody but the jobs, so it begins again."""
        while True:
            try:
                await loop()
            except Exception:
                # Broad on purpose: see above.
                log.exception("jobs.loop_broke", loop=loop.__qualname__)
            await self._clock.sleep(AFTER_BREAK_S)

    async def _close(self) -> None:
        if self._paid:
            _, late = await asyncio.wait(self._paid, timeout=CLOSE_WAIT_S)
            for task in late:
                log.warning("submit.cut_off", waited_s=CLOSE_WAIT_S)
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await _end([task for task, _ in self._looks.values()])

    async def _look_after(self) -> None:
        while True:
            try:
                await self.turn()
            except HubError as error:
                log.warning("jobs.delayed", detail=error.detail)
            await self._pause()

    async def _pause(self) -> None:
        """Until the next turn: soon where room comes free and more is due."""
        if not self._crowded:
            await self._clock.sleep(until_next(self._clock.monotonic(), TURN_S))
            return
        self._room_again.clear()
        await self._clock.sleep(BUSY_TURN_S)
        waits = [asyncio.ensure_future(self._room_again.wait()), asyncio.ensure_future(self._clock.sleep(TURN_S))]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def turn(self) -> int:
        """Begin to look at what is due, as far as there is room; returns at how many."""
        now = self._clock.now()
        if not self.jobs.seem_due(now):
            self._crowded = False
            return 0
        due = await self.jobs.due(now)
        wanted = self._room(due)
        self._crowded = wanted != due
        claimed = await self.jobs.claim(wanted, now) if wanted else []
        for job in claimed:
            if job.id not in self._looks:  # its lease has lapsed under a look, while the store did not answer
                self._begin(job)
        return len(claimed)

    def _room(self, due: dict[str, int]) -> dict[str, int]:
        """A provider that does not answer keeps its own jobs waiting, and no others."""
        busy = Counter(provider for _, provider in self._looks.values())
        left = self._parallel.total - len(self._looks)
        wanted: dict[str, int] = {}
        for provider, count in sorted(due.items(), key=lambda item: busy[item[0]]):
            share = min(count, self._parallel.per_provider - busy[provider], left)
            if share > 0:
                wanted[provider] = share
                left -= share
        return wanted

    def _begin(self, job: Job) -> None:
        task = asyncio.create_task(self._look(job))
        self._looks[job.id] = task, job.provider
        task.add_done_callback(lambda _: self._looked(job))

    def _looked(self, job: Job) -> None:
        self._looks.pop(job.id, None)
        if self._crowded:
            self._room_again.set()

    async def _tell(self) -> None:
        while True:
            await self._webhooks.step()

    async def _look(self, job: Job) -> None:
        looking = self._looking
        try:
            await looking.look(job)
        except HubError as error:
            log.warning("jobs.delayed", job_id=job.id, detail=error.detail)
            await looking.after_trouble(job)
        except BaseException as error:
            # Broad on purpose: one job's trouble must not end the care for all others.
            if not is_own(error):
                raise
            log.exception("job.look_broke", job_id=job.id, provider=job.provider)
            await looking.after_trouble(job)

    async def settle_looks(self) -> None:
        """Until the looks that have begun are over."""
        await asyncio.gather(*(task for task, _ in self._looks.values()))

    async def _keep_leases(self) -> None:
        while True:
            await self._clock.sleep(LEASE_TURN_S)
            try:
                now = self._clock.now()
                await self.jobs.free_dead(now)
                if self._looks or self._paid:
                    await self.jobs.renew(list(self._looks), now - SUBMIT_S - LEASE_S, now)
            except HubError as error:
                log.warning("jobs.delayed", detail=error.detail)

    async def _sweep(self) -> None:
        """Delete results that have been kept for long enough, and files that belong to nothing."""
        while True:
            try:
                if await asyncio.to_thread(self._files.takes_sweep, SWEEP_S):
                    await self.sweep()
            except (HubError, OSError) as error:
                log.warning("jobs.sweep_delayed", detail=str(error))
            await self._clock.sleep(SWEEP_S)

    async def sweep(self) -> None:
        expired = await self.jobs.expired_results(self._clock.now(), SWEPT_AT_ONCE)
        gone = [result.id for result in expired if result.file is not None and await self._deleted(result.file)]
        if gone:
            await self.jobs.forget_files(gone)
        await self.jobs.forget_names(self._clock.now())
        names = await asyncio.to_thread(lambda: list(self._files.old_names()))
        known = await self.jobs.known_files(names) if names else set()
        for name in names:
            if name not in known:
                await self._deleted(name)

    async def _deleted(self, name: str) -> bool:
        """One file that cannot be deleted must not keep all others."""
        try:
            await self._files.delete(name)
        except OSError as error:
            log.warning("jobs.file_not_deleted", file=name, detail=str(error))
            return False
        return True


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _unheard(task: asyncio.Task[object]) -> None:
    """Whoever waited for it has left: what went wrong is told here, or nowhere."""
    error = None if task.cancelled() else task.exception()
    if isinstance(error, RelayhubError):
        log.warning("job.failed_unheard", code=error.code, detail=error.detail)
    elif error is not None:
        log.error("job.failed_unheard", exc_info=error)


def _not_cancellable(job: Job) -> ClientError:
    why = "it has already begun" if job.state is JobState.IN_PROGRESS else "its upstream cannot take it back"
    return ClientError(ErrorKind.CONFLICT, f"The job {job.id} cannot be cancelled: {why}.", code="job_not_cancellable")

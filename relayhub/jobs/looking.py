"""One look at a job that is under way: at its upstream, and at what that means. Costs nothing, and may be repeated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import structlog

from relayhub.jobs.asked import unpack
from relayhub.jobs.binding import bound, credential_of, label_of, provider_of, upstream_job
from relayhub.jobs.endings import Endings
from relayhub.jobs.pace import Progress, backoff_s, next_look_s
from relayhub.jobs.results import TOO_LARGE, Results
from relayhub.jobs.states import before
from relayhub.jobs.submission import SUBMIT_S, accepted_changes, is_id
from relayhub.jobs.watch import Watch
from relayhub.routing.driving import Driven
from relayhub.routing.provider import Provider
from relayhub.sdk.clock import Clock
from relayhub.sdk.media import CancellingWire, FindingWire, JobWire
from relayhub.store.job_intents import Changes
from relayhub.store.jobs import Jobs
from relayhub.types.errors import HubError, RelayhubError, UpstreamError
from relayhub.types.job import Job
from relayhub.types.media import Found, JobFailure, JobState, JobUpdate, MediaRequest, UpstreamJob

log = structlog.get_logger("relayhub.jobs")

LOOK_S = 120.0
"""The longest that one look may take, fetching of results aside."""

MISSING_LIMIT = 3
"""Times in a row that an upstream does not know its own job, until that is believed."""

STRANGE_ALARM = 20
"""Looks at which an upstream said a word that its plugin does not know."""

WITHOUT_PROVIDER_S = 60.0
OWNED_S = 3600.0
"""How much older than a submit other jobs are looked at, which may have been accepted late."""

SKEW_S = 120.0
"""How far an upstream's clock may be from ours, when jobs are looked for by time."""

RESULT_LIFE_S = 24 * 3600.0
"""How long a result is tried to be fetched where its upstream does not say how long the link lives."""

SHORTEST_PUT_OFF_S, LONGEST_PUT_OFF_S = 1.0, 3600.0
"""Between these an upstream may say when it wants to be asked again."""

UNSURE = frozenset({JobState.NEW, JobState.SUBMIT_UNKNOWN})


@dataclass(frozen=True, slots=True)
class Looking:
    """``providers``: by configured name."""

    providers: Mapping[str, Provider]
    jobs: Jobs
    results: Results
    endings: Endings
    progress: Progress
    watch: Watch
    clock: Clock
    lookup_after_s: float = 60.0
    """Between asking whose an upstream's job is and taking it; of this process only."""

    async def look(self, job: Job) -> None:
        """At a job that this process has claimed; afterwards it is nobody's. Raises ``HubError`` if the store fails."""
        provider = provider_of(self.providers, job)
        wire = provider.capabilities.jobs.get(job.kind) if provider is not None else None
        if provider is None or wire is None:
            await self._without_wire(job, provider)
        elif job.state in UNSURE:
            await self._look_up(job, wire, provider)
        else:
            await self._poll(job, wire, provider)

    async def _without_wire(self, job: Job, provider: Provider | None) -> None:
        """Nobody can be asked. What was to come at once was lost with its process; a job waits for its provider."""
        if job.state is JobState.NEW or (job.state is JobState.SUBMIT_UNKNOWN and provider is not None):
            await self.endings.fail(
                job,
                JobFailure("interrupted", "The server was interrupted before it had the result. Nothing was charged."),
            )
        elif self._age_s(job) > RESULT_LIFE_S:
            await self.endings.fail(
                job, JobFailure("upstream_lost", "The provider of this job is no longer configured.")
            )
        else:
            log.warning("job.without_provider", job_id=job.id, provider=label_of(job))
            await self._later(job, WITHOUT_PROVIDER_S)

    # --- what became of a submit ----------------------------------------------------------------------------------------

    async def _look_up(self, job: Job, wire: JobWire, provider: Provider) -> None:
        """The job was sent and nobody knows what came of it. It is never sent again."""
        if not isinstance(wire, FindingWire):
            await self._give_up(job, "This upstream cannot be asked what became of it.")
            return
        wait_s = job.created_at + self.lookup_after_s - self.clock.now()
        if wait_s > 0:
            await self._unsure(job, wait_s)
            return
        request = await self._asked(job)
        if request is None:
            await self._give_up(job, "The request can no longer be read.")
            return
        since, until = job.created_at - SKEW_S, (job.submitted_at or job.created_at + SUBMIT_S) + SKEW_S
        owned = await self.jobs.owned_ids(job.provider, since - OWNED_S)
        steps = wire.find(job.upstream_model, request, job.id, since, until, owned)
        try:
            found = await Driven[UpstreamJob | Found](provider).run(steps, LOOK_S)
        except UpstreamError as error:
            await self._failed_look(job, wire, error)
            return
        await self._found(job, wire, found)

    async def _asked(self, job: Job) -> MediaRequest | None:
        """``None`` where the vault's key has changed, or another version has kept it in another form."""
        packed = await self.jobs.request_of(job)
        try:
            return None if packed is None else unpack(job.kind, packed)
        except (KeyError, TypeError, ValueError):
            log.exception("job.request_not_readable", job_id=job.id)
            return None

    async def _found(self, job: Job, wire: JobWire, found: UpstreamJob | Found) -> None:
        if isinstance(found, UpstreamJob) and is_id(found.id) and await self._taken(job, found):
            log.info("job.found", job_id=job.id, upstream_id=found.id)
            self.watch.changed(job.id)
        elif found is Found.NO:
            await self._give_up(job, "The upstream never accepted it.", code="not_accepted")
        elif self._age_s(job) > wire.pace.limit_s:
            await self._give_up(job, "It could not be found out what became of it.")
        else:
            await self._unsure(job, backoff_s(wire.pace, job.poll_errors + 3))

    async def _taken(self, job: Job, found: UpstreamJob) -> bool:
        """Unless it is another job's already: where jobs are found by their time, two lookups can see the same one."""
        now, handle = self.clock.now(), bound(found.handle, credential_of(job))
        accepted = replace(
            job, state=JobState.QUEUED, upstream_id=found.id, handle=handle, submitted_at=now, next_at=now
        )
        return await self.jobs.move(job.id, UNSURE, {**accepted_changes(accepted), "poll_errors": 0})

    async def _give_up(self, job: Job, why: str, *, code: str = "submit_unknown") -> None:
        message = f"The request got no answer from the upstream. {why} Nothing was charged."
        await self.endings.fail(job, JobFailure(code, message))

    async def _unsure(self, job: Job, after_s: float) -> None:
        if job.state is JobState.NEW:
            changes: Changes = {"state": JobState.SUBMIT_UNKNOWN.value, **self._next(after_s)}
            await self.jobs.move(job.id, {JobState.NEW}, changes)
            self.watch.changed(job.id)
        else:
            await self._later(job, after_s, poll_errors=job.poll_errors + 1)

    # --- how far it is --------------------------------------------------------------------------------------------------

    async def _poll(self, job: Job, wire: JobWire, provider: Provider) -> None:
        driven = Driven[JobUpdate](provider)
        try:
            update = await driven.run(wire.poll(upstream_job(job)), LOOK_S)
            await self._apply(job, update, wire, provider, driven.hosts)
        except UpstreamError as error:
            await self._failed_look(job, wire, error)

    async def _apply(self, job: Job, update: JobUpdate, wire: JobWire, provider: Provider, hosts: set[str]) -> None:
        match update.state:
            case JobState.SUCCEEDED:
                await self._bring_home(job, update, wire, provider, hosts)
            case JobState.FAILED:
                failure = update.failure or JobFailure("upstream_error", "The upstream failed and gives no reason.")
                await self.endings.fail(job, failure, usage=update.usage)
            case JobState.CANCELLED:
                await self.endings.cancel(job)
            case _ if self._age_s(job) > wire.pace.limit_s:
                await self._time_out(job, wire, provider)
            case None:
                await self._strange(job, wire)
            case state:
                await self._still(job, state, update, wire)

    async def _bring_home(
        self, job: Job, update: JobUpdate, wire: JobWire, provider: Provider, hosts: set[str]
    ) -> None:
        """Copied first, and told then. A result that cannot be had for as long as it lives is lost, and not charged."""
        try:
            kept = await self.results.keep(job, provider, update.artifacts, hosts)
        except UpstreamError as error:
            lives_s = min((one.lives_s or RESULT_LIFE_S for one in update.artifacts), default=0.0)
            if error.code == TOO_LARGE or self._age_s(job) > lives_s + wire.pace.limit_s or not update.artifacts:
                failure = JobFailure("result_lost", error.message)
                await self.endings.fail(job, failure)
                return
            raise
        if not await self.endings.succeed(job, kept, update.usage):
            await self.results.drop(kept)

    async def _still(self, job: Job, state: JobState, update: JobUpdate, wire: JobWire) -> None:
        """On its way; a step back is not believed."""
        after_s = next_look_s(wire.pace, self._age_s(job))
        if state is not job.state and job.state in before(state):
            changes: Changes = {
                "state": state.value,
                "started_at": self.clock.now(),
                "poll_errors": 0,
                "missing": 0,
                **self._next(after_s),
            }
            moved = replace(job, state=state, started_at=self.clock.now())
            percent = await self.progress.of(moved, update.progress)
            await self.jobs.move(job.id, before(state), {**changes, "progress": percent})
            self.watch.changed(job.id)
            return
        percent = await self.progress.of(job, update.progress)
        if percent == job.progress:
            await self._later(job, after_s, poll_errors=0, missing=0)
        else:
            await self._later(job, after_s, poll_errors=0, missing=0, progress=percent)
            self.watch.changed(job.id)

    async def _strange(self, job: Job, wire: JobWire) -> None:
        if job.poll_errors + 1 == STRANGE_ALARM:
            log.error("job.state_not_understood", job_id=job.id, provider=job.provider, looks=STRANGE_ALARM)
        await self._later(job, next_look_s(wire.pace, self._age_s(job)), poll_errors=job.poll_errors + 1)

    async def _time_out(self, job: Job, wire: JobWire, provider: Provider) -> None:
        """The upstream itself has given up by now. What it may still make is not ours to sell."""
        if isinstance(wire, CancellingWire):
            try:
                await self.ask_to_cancel(job, wire, provider)
            except RelayhubError as error:
                log.info("job.not_cancelled", job_id=job.id, code=error.code)
        await self.endings.fail(job, JobFailure("timeout", "The upstream did not finish within its own limit."))

    async def ask_to_cancel(self, job: Job, wire: CancellingWire, provider: Provider) -> bool:
        """Whether the upstream has cancelled it. Raises ``RelayhubError``."""
        return await Driven[bool](provider).run(wire.cancel(upstream_job(job)), LOOK_S)

    async def _failed_look(self, job: Job, wire: JobWire, error: UpstreamError) -> None:
        """Nothing is known that was not known before, except by an upstream that keeps saying that there is no such job."""
        failures = job.poll_errors + 1
        log.warning(
            "job.look_failed",
            job_id=job.id,
            provider=job.provider,
            code=error.code,
            status=error.status,
            failures=failures,
            detail=error.detail,
        )
        missing = job.missing + 1 if error.status == 404 and error.code != "result_not_fetched" else 0
        if missing >= MISSING_LIMIT:
            await self.endings.fail(job, JobFailure("upstream_lost", "The upstream no longer knows this job."))
        elif self._age_s(job) > wire.pace.limit_s + RESULT_LIFE_S:
            await self.endings.fail(job, JobFailure("timeout", "The upstream could not be asked any more."))
        else:
            await self._later(job, _wait_s(wire, error, failures), poll_errors=failures, missing=missing)

    # --- the row ----------------------------------------------------------------------------------------------------------

    def _age_s(self, job: Job) -> float:
        return self.clock.now() - (job.submitted_at or job.created_at)

    def _next(self, after_s: float) -> dict[str, float]:
        return {"next_at": self.clock.now() + after_s, "lease_until": 0.0}

    async def _later(self, job: Job, after_s: float, **changes: int) -> None:
        noted: Changes = {**self._next(after_s), **changes}
        await self.jobs.touch(job.id, noted)

    async def after_trouble(self, job: Job) -> None:
        """Whatever went wrong here must not be asked for again and again."""
        try:
            await self._later(job, backoff_s_unknown(job), poll_errors=job.poll_errors + 1)
        except HubError as error:
            log.warning("job.not_noted", job_id=job.id, detail=error.detail)


def _wait_s(wire: JobWire, error: UpstreamError, failures: int) -> float:
    """What the upstream asks for, within reason: its results do not live for ever."""
    if error.retry_after_s is None:
        return backoff_s(wire.pace, failures)
    return min(max(error.retry_after_s, SHORTEST_PUT_OFF_S), LONGEST_PUT_OFF_S)


def backoff_s_unknown(job: Job) -> float:
    longest: float = min(5.0 * 2 ** min(job.poll_errors, 6), 300.0)
    return longest

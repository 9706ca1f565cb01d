"""How a job ends: one conditional move with its money in the same transaction. Whoever comes second changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import orjson
import structlog

from relayhub.dialects.redact import without_places, without_quotes
from relayhub.jobs.records import record_of
from relayhub.jobs.states import before
from relayhub.jobs.watch import Watch
from relayhub.sdk.clock import Clock
from relayhub.store.jobs import Jobs
from relayhub.types.call import Outcome, UsageRecord
from relayhub.types.errors import ClientError, ErrorKind, RelayhubError, UpstreamError
from relayhub.types.job import Job, StoredArtifact
from relayhub.types.media import JobFailure, JobState, MediaUsage

log = structlog.get_logger("relayhub.jobs")

MAX_MESSAGE = 500
"""Characters of an upstream's words that are kept."""


@dataclass(frozen=True, slots=True)
class Endings:
    jobs: Jobs
    watch: Watch
    clock: Clock

    async def succeed(self, job: Job, results: Sequence[StoredArtifact], usage: MediaUsage | None) -> bool:
        """Charge what was billed, else what was held for."""
        record = record_of(job, Outcome.COMPLETED, self.clock.now(), usage=usage or job.usage)
        return await self._end(job, JobState.SUCCEEDED, record, results=results)

    async def fail(self, job: Job, failure: JobFailure, *, usage: MediaUsage | None = None) -> bool:
        """Give the hold back, unless the upstream wants its money all the same."""
        charged = (usage or job.usage) if failure.charged else None
        record = record_of(job, Outcome.UPSTREAM_ERROR, self.clock.now(), usage=charged, error_code=failure.code)
        return await self._end(job, JobState.FAILED, record, failure=failure)

    async def refuse(self, job: Job, error: RelayhubError) -> bool:
        """No upstream took it. Unless it may have been executed, the client may send it again under the same name."""
        refused = isinstance(error, ClientError) or error.kind is ErrorKind.UPSTREAM_REJECTED
        outcome = Outcome.REJECTED if refused else Outcome.UPSTREAM_ERROR
        record = record_of(job, outcome, self.clock.now(), error_code=error.code)
        failure = JobFailure(error.code, error.message)
        executed = isinstance(error, UpstreamError) and error.delivered
        return await self._end(job, JobState.FAILED, record, failure=failure, forget_name=not executed)

    async def cancel(self, job: Job) -> bool:
        record = record_of(job, Outcome.CLIENT_LEFT, self.clock.now(), error_code="cancelled")
        return await self._end(job, JobState.CANCELLED, record)

    async def _kept(self, job: Job, message: str) -> str:
        """Upstreams repeat prompts, which are not kept."""
        asked = await self.jobs.request_of(job)
        shown = without_places(message)[:MAX_MESSAGE]
        return shown if asked is None else without_quotes(shown, asked)

    async def _end(
        self,
        job: Job,
        state: JobState,
        record: UsageRecord,
        *,
        failure: JobFailure | None = None,
        results: Sequence[StoredArtifact] = (),
        forget_name: bool = False,
    ) -> bool:
        changes: dict[str, str | int | None] = {"state": state.value, "progress": 100}
        if failure is not None:
            changes |= {"error_code": failure.code, "error_message": await self._kept(job, failure.message)}
        if record.media is not None:
            # A bound on tokens is not a count of them: what nobody counted is not shown.
            shown = record.media if record.measured else replace(record.media, input_tokens=0, output_tokens=0)
            changes["usage"] = orjson.dumps(shown).decode()
        charge = record.media is not None
        won = await self.jobs.finish(
            job, before(state), changes, record, charge=charge, results=results, forget_name=forget_name
        )
        if won:
            _log(job, state, record, failure)
        else:
            log.warning("job.ended_before", job_id=job.id, state=state.value)
        self.watch.changed(job.id)
        return won


def _log(job: Job, state: JobState, record: UsageRecord, failure: JobFailure | None) -> None:
    log.info(
        "job.settled",
        job_id=job.id,
        call_id=job.call_id,
        model=job.model,
        provider=job.provider,
        state=state.value,
        code=failure.code if failure is not None else None,
        cost_nano=record.cost_nano,
        duration_ms=record.duration_ms,
    )

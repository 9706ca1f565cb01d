"""What an operator may do with a job. Each of it is in the audit log."""

from __future__ import annotations

from dataclasses import dataclass

from relayhub.jobs.engine import JobEngine
from relayhub.sdk.clock import Clock
from relayhub.store.audit import Actor, Change
from relayhub.store.store import Store
from relayhub.types.errors import ClientError, ErrorKind
from relayhub.types.job import Job


@dataclass(frozen=True, slots=True)
class JobDesk:
    store: Store
    engine: JobEngine
    clock: Clock

    async def cancel(self, job: Job, by: Actor) -> Job:
        """Raises ``ClientError`` CONFLICT for one that has ended, or that its upstream does not take back;
        ``UpstreamError``."""
        if not job.is_open:
            raise _ended(job)
        after = await self.engine.cancel(job)
        await self._note(by, "job.cancel", job, after)
        return after

    async def look(self, job: Job, by: Actor) -> Job:
        """Have its upstream asked at once instead of when it is due. Raises ``ClientError`` CONFLICT for one that has
        ended."""
        if not job.is_open:
            raise _ended(job)
        await self.store.jobs.touch(job.id, {"next_at": self.clock.now()})
        await self._note(by, "job.look", job, job)
        return await self.store.jobs.get(job.id) or job

    async def notify(self, job: Job, by: Actor) -> Job:
        """Have the message to the client sent once more. Raises ``ClientError`` CONFLICT for a job that has not ended, or
        without somebody to tell."""
        if job.is_open:
            raise _refused(f"The job {job.id} has not ended, so there is nothing to tell yet.", "job_open")
        if not await self.store.jobs.deliver_again(job.id, self.clock.now()):
            raise _refused(f"The job {job.id} was submitted without a callback_url.", "no_webhook")
        await self._note(by, "job.notify", job, job)
        return job

    async def _note(self, by: Actor, action: str, before: Job, after: Job) -> None:
        change = Change(by, action, before.id, {"state": before.state.value}, {"state": after.state.value})
        await self.store.audit.note(change, self.clock.now())


def _ended(job: Job) -> ClientError:
    return _refused(f"The job {job.id} has ended already ({job.state.value}).", "job_ended")


def _refused(message: str, code: str) -> ClientError:
    return ClientError(ErrorKind.CONFLICT, message, code=code)

"""Calls from upstreams. They only bring the next look at a job forward: what is true is asked for, never believed."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from relayhub.jobs.binding import provider_of
from relayhub.routing.provider import Provider
from relayhub.sdk.clock import Clock
from relayhub.sdk.media import CalledBackWire, JobWire
from relayhub.store.jobs import Jobs
from relayhub.types.job import Job

log = structlog.get_logger("relayhub.jobs")

PATH = "/files/callbacks"


@dataclass(frozen=True, slots=True)
class Callbacks:
    """``base``: the hub's public address; empty where upstreams cannot reach it. ``keys``: the first signs,
    calls that name a token of any are heard."""

    jobs: Jobs
    providers: Mapping[str, Provider]
    clock: Clock
    base: Callable[[], str]
    keys: Callable[[], Sequence[bytes]]

    def with_address(self, wire: JobWire, job_id: str) -> JobWire:
        """The wire that asks its upstream to call, if it can and there is an address to call."""
        base = self.base()
        if not base or not isinstance(wire, CalledBackWire):
            return wire
        return wire.with_callback(f"{base}{PATH}/{job_id}/{_token(self.keys()[0], job_id)}")

    async def heard(self, job_id: str, token: str, headers: Mapping[str, str], body: bytes) -> bool:
        """Whether the call is one of ours. Raises ``HubError`` if the store fails."""
        if not token.isascii() or not any(hmac.compare_digest(token, _token(key, job_id)) for key in self.keys()):
            return False
        job = await self.jobs.get(job_id)
        if job is None or not self._concerns(job, headers, body):
            return job is not None
        if job.is_open:
            await self.jobs.touch(job.id, {"next_at": self.clock.now()})
        elif job.error_code == "timeout":
            log.error("job.called_back_late", job_id=job.id, provider=job.provider, upstream_id=job.upstream_id)
        return True

    def _concerns(self, job: Job, headers: Mapping[str, str], body: bytes) -> bool:
        provider = provider_of(self.providers, job)
        wire: object = provider.capabilities.jobs.get(job.kind) if provider is not None else None
        if not isinstance(wire, CalledBackWire):
            return False
        try:
            said = wire.read_callback(headers, body)
        except BaseException:
            # Plugin isolation: whatever a stranger posts must not be more than ignored; nothing is awaited here.
            log.exception("provider.failed", provider=job.provider)
            return False
        return said is not None and said == (job.upstream_id or said)


def _token(key: bytes, job_id: str) -> str:
    return hmac.new(key, job_id.encode(), "sha256").hexdigest()[:40]

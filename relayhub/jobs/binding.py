"""Which credential a job was submitted with: only its account knows the job. Kept in the job's handle, under a name that
no plugin sees."""

from __future__ import annotations

from collections.abc import Mapping

from relayhub.routing.credentials import keeper
from relayhub.routing.provider import Provider, label
from relayhub.types.job import Job
from relayhub.types.media import UpstreamJob

CREDENTIAL = "relayhub:credential"


def bound(handle: Mapping[str, str], credential: str | None) -> Mapping[str, str]:
    """A handle to be stored."""
    return handle if credential is None else {**handle, CREDENTIAL: credential}


def credential_of(job: Job) -> str | None:
    return job.handle.get(CREDENTIAL)


def label_of(job: Job) -> str:
    """As :attr:`Provider.label`."""
    return label(job.provider, credential_of(job))


def provider_of(providers: Mapping[str, Provider], job: Job) -> Provider | None:
    """Who can be asked about the job; see :func:`keeper`."""
    return keeper(providers, job.provider, credential_of(job))


def upstream_job(job: Job) -> UpstreamJob:
    """As its wire knows it."""
    assert job.upstream_id is not None
    if CREDENTIAL not in job.handle:
        return UpstreamJob(job.upstream_id, job.handle)
    return UpstreamJob(job.upstream_id, {name: text for name, text in job.handle.items() if name != CREDENTIAL})

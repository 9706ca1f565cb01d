"""Videos, and images that take their time: everybody's for staff, for a user their own account's."""

from __future__ import annotations

from relayhub.dialects.media_api.views import canonical_id
from relayhub.jobs.desk import JobDesk
from relayhub.store.jobs import JobFilter
from relayhub.types.errors import ClientError, ErrorKind, invalid_request
from relayhub.types.job import Job
from relayhub.types.role import Role
from relayhub.web.admin.endpoint import EVERYBODY, OPERATORS, AnyEndpoint, Asked, Endpoint, In
from relayhub.web.admin.job_shapes import (
    JobSeen,
    JobShown,
    JobsQuery,
    booked,
    delivery_shown,
    job_shown,
    result_shown,
)
from relayhub.web.admin.shapes import Nothing, Page, page, seconds

CHANGERS = OPERATORS | {Role.USER}
LONGEST_ID = 80
UPSTREAM_FAILS = {"500": "Its upstream could not be asked; the job goes on."}


async def list_jobs(asked: Asked[JobsQuery]) -> Page[JobShown]:
    """A user who asks for another account's jobs gets none: to them there is no other account."""
    given, within = asked.given, asked.who.within
    if within is not None and given.account_id not in (None, within):
        return Page(items=(), next=None)
    wanted = JobFilter(
        given.open,
        given.state,
        given.provider,
        given.kind,
        given.model,
        given.account_id if within is None else within,
        given.key_id,
        given.user,
        seconds(given.since),
        seconds(given.until),
    )
    after = None if given.after is None else await _cursor(asked, given.after)
    found = await asked.context.store.jobs.some(wanted, given.limit + 1, after)
    return page(found, given.limit, lambda job: job_shown(job, staff=within is None), lambda job: job.id)


async def _cursor(asked: Asked[JobsQuery], job_id: str) -> Job:
    try:
        return await _job(asked, job_id)
    except ClientError:
        raise invalid_request("This is not the `next` of a page.", code="invalid_cursor", param="after") from None


async def _job(asked: Asked[In], job_id: str) -> Job:
    """By whatever name a client knows it. Raises ``ClientError`` NOT_FOUND, the same for another account's."""
    job = await asked.context.store.jobs.get(canonical_id(job_id[:LONGEST_ID]))
    if job is None or asked.who.within not in (None, job.account_id):
        raise ClientError(ErrorKind.NOT_FOUND, f"There is no job {job_id[:LONGEST_ID]!r}.", code="job_not_found")
    return job


async def show_job(asked: Asked[Nothing]) -> JobSeen:
    return await _seen(asked, await _job(asked, asked.path["id"]))


async def _seen(asked: Asked[Nothing], job: Job) -> JobSeen:
    store, staff = asked.context.store, asked.who.within is None
    delivery = await store.jobs.delivery(job.id)
    return JobSeen(
        results=tuple(map(result_shown, await store.jobs.results(job.id))),
        webhook=None if delivery is None else delivery_shown(delivery),
        ledger=tuple(map(booked, await store.ledger_report.of_hold(job.hold_id))),
        **dict(job_shown(job, staff=staff)),
    )


def _desk(asked: Asked[Nothing]) -> JobDesk:
    return JobDesk(asked.context.store, asked.jobs, asked.context.clock)


async def cancel_job(asked: Asked[Nothing]) -> JobSeen:
    job = await _job(asked, asked.path["id"])
    return await _seen(asked, await _desk(asked).cancel(job, asked.by))


async def look_at_job(asked: Asked[Nothing]) -> JobSeen:
    job = await _job(asked, asked.path["id"])
    return await _seen(asked, await _desk(asked).look(job, asked.by))


async def notify_of_job(asked: Asked[Nothing]) -> JobSeen:
    job = await _job(asked, asked.path["id"])
    return await _seen(asked, await _desk(asked).notify(job, asked.by))


ENDPOINTS: tuple[AnyEndpoint, ...] = (
    Endpoint(
        "GET", "/jobs", "List the jobs, newest first", EVERYBODY, JobsQuery, Page[JobShown], list_jobs, twin="jobs list"
    ),
    Endpoint(
        "GET",
        "/jobs/{id}",
        "Show a job with its results, message and money",
        EVERYBODY,
        Nothing,
        JobSeen,
        show_job,
        twin="jobs show",
    ),
    Endpoint(
        "POST",
        "/jobs/{id}/cancel",
        "Have its upstream cancel it",
        CHANGERS,
        Nothing,
        JobSeen,
        cancel_job,
        fails=UPSTREAM_FAILS,
        twin="jobs cancel",
    ),
    Endpoint(
        "POST",
        "/jobs/{id}/look",
        "Have its upstream asked at once",
        OPERATORS,
        Nothing,
        JobSeen,
        look_at_job,
        twin="jobs look",
    ),
    Endpoint(
        "POST",
        "/jobs/{id}/notify",
        "Send the message about it again",
        CHANGERS,
        Nothing,
        JobSeen,
        notify_of_job,
        twin="jobs notify",
    ),
)

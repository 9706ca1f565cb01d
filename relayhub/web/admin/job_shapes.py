"""Jobs as the management side shows them."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from relayhub.store.intents import LedgerKind
from relayhub.store.jobs import Delivery
from relayhub.store.ledger_report import LedgerRow
from relayhub.types.job import Job, StoredArtifact
from relayhub.types.media import JobState, MediaKind
from relayhub.web.admin.shapes import Moment, Output, Paging, moment, moment_or_none


class JobsQuery(Paging):
    """``since`` inclusive, ``until`` exclusive: when it was submitted."""

    open: bool = Field(False, description="Only those that are not finished.")
    state: JobState | None = None
    kind: MediaKind | None = None
    provider: str | None = Field(None, max_length=200)
    model: str | None = Field(None, max_length=200)
    account_id: str | None = Field(None, max_length=64)
    key_id: str | None = Field(None, max_length=64)
    user: str | None = Field(None, max_length=300, description="The `user_identifier` of the request.")
    since: Moment | None = None
    until: Moment | None = None


class JobShown(Output):
    """``attempts``: how often it was submitted, which is tried again only where nothing was accepted; ``failed_looks``: how
    often in a row its upstream could not be asked. ``upstream_id``: for staff only."""

    id: str
    kind: MediaKind
    state: JobState
    progress: int = Field(description="Per cent.")
    account_id: str
    key_id: str
    call_id: str
    user_identifier: str | None
    dialect: str
    model: str
    provider: str
    upstream_model: str
    upstream_id: str | None
    price: str
    attempts: int
    failed_looks: int
    error_code: str | None
    error_message: str | None
    created_at: datetime
    submitted_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    next_look_at: datetime | None = Field(description="When its upstream is asked again; `null` once it is finished.")


class ResultShown(Output):
    id: str
    media_type: str
    bytes: int
    kept: bool = Field(description="Whether it can still be fetched.")
    expires_at: datetime


class DeliveryShown(Output):
    """The message to the client's `callback_url`. ``next_at`` ``null``: it is not tried (again)."""

    attempts: int
    next_at: datetime | None
    last_status: int | None
    last_error: str | None
    delivered_at: datetime | None


class BookedShown(Output):
    """A row of the ledger: the hold, and how it ended. ``amount_nano``: nano-USD."""

    id: int
    at: datetime
    kind: LedgerKind
    amount_nano: int


class JobSeen(JobShown):
    """``webhook``: ``null`` where nobody wanted a message."""

    results: tuple[ResultShown, ...]
    webhook: DeliveryShown | None
    ledger: tuple[BookedShown, ...]


def job_shown(job: Job, *, staff: bool) -> JobShown:
    return JobShown(
        id=job.id,
        kind=job.kind,
        state=job.state,
        progress=job.progress,
        account_id=job.account_id,
        key_id=job.key_id,
        call_id=job.call_id,
        user_identifier=job.user_identifier,
        dialect=job.dialect,
        model=job.model,
        provider=job.provider,
        upstream_model=job.upstream_model,
        upstream_id=job.upstream_id if staff else None,
        price=job.price,
        attempts=job.attempts,
        failed_looks=job.poll_errors,
        error_code=job.error_code,
        error_message=job.error_message,
        created_at=moment(job.created_at),
        submitted_at=moment_or_none(job.submitted_at),
        started_at=moment_or_none(job.started_at),
        finished_at=moment_or_none(job.finished_at),
        next_look_at=moment(job.next_at) if job.is_open else None,
    )


def result_shown(result: StoredArtifact) -> ResultShown:
    return ResultShown(
        id=result.id,
        media_type=result.media_type,
        bytes=result.size,
        kept=result.file is not None,
        expires_at=moment(result.expires_at),
    )


def delivery_shown(delivery: Delivery) -> DeliveryShown:
    return DeliveryShown(
        attempts=delivery.attempts,
        next_at=moment_or_none(delivery.next_at),
        last_status=delivery.last_status,
        last_error=delivery.last_error,
        delivered_at=moment_or_none(delivery.delivered_at),
    )


def booked(row: LedgerRow) -> BookedShown:
    return BookedShown(id=row.id, at=moment(row.at), kind=row.kind, amount_nano=row.amount_nano)

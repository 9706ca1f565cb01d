"""Jobs as the rest of relayhub sees them: what moves a job or its money goes through the writer, the rest is read."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog
from sqlalchemy import Row, Select, delete, func, select, update
from sqlalchemy.sql.elements import ColumnElement

from relayhub.store import places
from relayhub.store.engine import Engine
from relayhub.store.epoch import Epoch
from relayhub.store.intents import OpenHold
from relayhub.store.job_intents import Changes, FinishJob, MoveJob, Once, Opened, OpenJob, TouchJob
from relayhub.store.schema import artifacts, epochs, idempotency, jobs, webhooks
from relayhub.store.vault import Vault
from relayhub.store.writer import Writer
from relayhub.types.call import UsageRecord
from relayhub.types.job import Job, StoredArtifact
from relayhub.types.media import JobState, MediaKind, MediaUsage

LEASE_S = 30.0
"""How long a job is one process's own; renewed while that process works on it."""

_NOT_OF_A_JOB = frozenset({"sealed", "lease_owner", "lease_until"})
_JOB_COLUMNS = tuple(column for column in jobs.columns if column.name not in _NOT_OF_A_JOB)
_RECENT = 50

_OPEN_AT_A_GLANCE = "SELECT 1 FROM jobs WHERE finished_at IS NULL LIMIT 1"
_DUE_AT_A_GLANCE = "SELECT 1 FROM jobs WHERE finished_at IS NULL AND next_at <= ? AND lease_until <= ? LIMIT 1"
_WEBHOOK_AT_A_GLANCE = "SELECT 1 FROM webhooks WHERE next_at <= ? LIMIT 1"

log = structlog.get_logger("relayhub.store")


@dataclass(frozen=True, slots=True)
class Webhook:
    """One message to a client. ``attempts``: how often it was tried."""

    job: Job
    url: str
    attempts: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """What came of the last attempt. ``delivered_at`` ``None``: not delivered, and no longer tried if ``next_at`` is
    ``None`` too."""

    attempts: int
    next_at: float | None
    last_status: int | None
    last_error: str | None
    delivered_at: float | None


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs a list is to have; ``None`` and ``False`` exclude nothing. ``user``: the ``user_identifier``; ``since``
    inclusive, ``until`` exclusive: when they were submitted."""

    only_open: bool = False
    state: JobState | None = None
    provider: str | None = None
    kind: MediaKind | None = None
    model: str | None = None
    account_id: str | None = None
    key_id: str | None = None
    user: str | None = None
    since: float | None = None
    until: float | None = None


class Jobs:
    """The async face of everything about jobs. Use on the loop that opened the store."""

    def __init__(self, writer: Writer, engine: Engine, vault: Vault, epoch: Epoch) -> None:
        self._writer = writer
        self._engine = engine
        self._vault = vault
        self._epoch = epoch

    # --- what moves them ----------------------------------------------------------------------------------------------

    async def open(
        self, hold: OpenHold, job: Job, request: bytes, *, once: Once | None = None, webhook: str | None = None
    ) -> Opened:
        """A hold and a job, durable together; or the job that the same named request has led to before. Raises
        ``ClientError`` (key, quota) or ``HubError``. The job belongs to this process for now."""
        sealed = self._vault.seal(request, places.job_request(job.id))
        address = None if webhook is None else self._vault.seal(webhook.encode(), places.webhook_address(job.id))
        until = job.created_at + LEASE_S
        return await self._writer.submit(OpenJob(hold, job, sealed, self._epoch.id, until, once, address))

    async def move(self, job_id: str, states: Collection[JobState], changes: Changes, *, visible: bool = True) -> bool:
        """Change a job that is in one of ``states``; whether it was. Survives the caller's cancellation."""
        return await self._writer.submit(MoveJob(job_id, frozenset(states), changes, visible))

    async def touch(self, job_id: str, changes: Changes) -> None:
        """Note a look at an open job; nothing happens to a finished one."""
        await self._writer.submit(TouchJob(job_id, changes))

    async def finish(
        self,
        job: Job,
        states: Collection[JobState],
        changes: Changes,
        record: UsageRecord,
        *,
        charge: bool,
        results: Sequence[StoredArtifact] = (),
        forget_name: bool = False,
    ) -> bool:
        """Move a job to an end and settle or release its hold. ``False``: somebody else has, and nothing was changed."""
        return await self._writer.submit(
            FinishJob(job.id, job.hold_id, frozenset(states), changes, record, charge, tuple(results), forget_name)
        )

    # --- leases -------------------------------------------------------------------------------------------------------

    async def due(self, now: float) -> dict[str, int]:
        """How many jobs of each provider want to be looked at, and are nobody's."""
        statement = select(jobs.c.provider, func.count()).where(_is_due(now)).group_by(jobs.c.provider)
        async with self._engine.reading() as connection:
            return {row[0]: row[1] for row in await connection.execute(statement)}

    def seem_due(self, now: float) -> bool:
        """Whether it is worth to ask for :meth:`due`, at once."""
        return self._engine.glance.finds(_DUE_AT_A_GLANCE, now, now)

    async def claim(self, wanted: dict[str, int], now: float) -> list[Job]:
        """Take jobs that are due, at most so many of each provider, the longest due first."""
        claimed: list[Job] = []
        async with self._engine.writing() as connection:
            for provider, limit in wanted.items():
                ids = (
                    select(jobs.c.id)
                    .where(_is_due(now), jobs.c.provider == provider)
                    .order_by(jobs.c.next_at)
                    .limit(limit)
                )
                taken = (
                    update(jobs)
                    .where(jobs.c.id.in_(ids))
                    .values(lease_owner=self._epoch.id, lease_until=now + LEASE_S)
                    .returning(*_JOB_COLUMNS)
                )
                claimed += [_job(row) for row in await connection.execute(taken)]
        return claimed

    async def renew(self, looked_at: Collection[str], submitted_since: float, now: float) -> None:
        """Keep the jobs that this process works on: those that it looks at, and those that it may still be sending."""
        c = jobs.c
        sending = (c.state == JobState.NEW.value) & (c.created_at > submitted_since)
        mine = (c.lease_owner == self._epoch.id) & (c.lease_until > 0) & (c.id.in_(_listed(looked_at)) | sending)
        async with self._engine.writing() as connection:
            await connection.execute(update(jobs).where(mine).values(lease_until=now + LEASE_S))

    async def free_dead(self, now: float) -> int:
        """Free what dead processes had taken; returns how many jobs."""
        owned = (
            select(jobs.c.lease_owner, *epochs.columns)
            .select_from(jobs.outerjoin(epochs, epochs.c.id == jobs.c.lease_owner))
            .where(jobs.c.finished_at.is_(None), jobs.c.lease_until > now)
            .distinct()
        )
        if not self._engine.glance.finds(_OPEN_AT_A_GLANCE):
            return 0
        async with self._engine.writing() as connection:
            rows = [tuple(row) for row in await connection.execute(owned)]
            dead = [row[0] for row in rows if row[0] != self._epoch.id and self._is_dead(row, now)]
            if not dead:
                return 0
            freed = update(jobs).where(jobs.c.lease_owner.in_(dead), jobs.c.finished_at.is_(None))
            return (await connection.execute(freed.values(lease_until=0.0))).rowcount

    def _is_dead(self, row: tuple[Any, ...], now: float) -> bool:
        return row[1] is None or self._epoch.finds_dead(row[1:], now)

    # --- reading ------------------------------------------------------------------------------------------------------

    async def get(self, job_id: str) -> Job | None:
        async with self._engine.reading() as connection:
            row = (await connection.execute(_all().where(jobs.c.id == job_id))).first()
        return None if row is None else _job(row)

    async def newest(
        self,
        account_id: str,
        kind: MediaKind,
        limit: int,
        *,
        after: Job | None = None,
        oldest_first: bool = False,
        providers: Collection[str] | None = None,
    ) -> list[Job]:
        """An account's jobs by time. ``after``: only those that follow it in this order; ``providers``: only theirs."""
        key = (jobs.c.created_at, jobs.c.id)
        order = [column.asc() if oldest_first else column.desc() for column in key]
        wanted = _all().where(jobs.c.account_id == account_id, jobs.c.kind == kind.value).order_by(*order).limit(limit)
        if after is not None:
            wanted = wanted.where(_follows(after, oldest_first=oldest_first))
        if providers is not None:
            wanted = wanted.where(jobs.c.provider.in_(providers))
        async with self._engine.reading() as connection:
            return [_job(row) for row in await connection.execute(wanted)]

    async def some(self, wanted: JobFilter, limit: int, after: Job | None = None) -> list[Job]:
        """Everybody's, the newest first, which is what their ids sort by. ``after``: only those that follow it."""
        statement = _all().where(*_matches(wanted)).order_by(jobs.c.id.desc()).limit(limit)
        if after is not None:
            statement = statement.where(jobs.c.id < after.id)
        async with self._engine.reading() as connection:
            return [_job(row) for row in await connection.execute(statement)]

    async def request_of(self, job: Job) -> bytes | None:
        """What was asked, as long as the job is open."""
        async with self._engine.reading() as connection:
            sealed = (await connection.execute(select(jobs.c.sealed).where(jobs.c.id == job.id))).scalar()
        return None if sealed is None else self._vault.unseal(sealed, places.job_request(job.id))

    async def owner_of(self, provider: str, upstream_id: str) -> str | None:
        """The job that this job of an upstream belongs to already."""
        statement = select(jobs.c.id).where(jobs.c.provider == provider, jobs.c.upstream_id == upstream_id).limit(1)
        async with self._engine.reading() as connection:
            found: str | None = (await connection.execute(statement)).scalar()
        return found

    async def owned_ids(self, provider: str, since: float) -> set[str]:
        """The upstream's names of the jobs that were submitted there since then."""
        c = jobs.c
        statement = select(c.upstream_id).where(
            c.provider == provider, c.upstream_id.is_not(None), c.created_at >= since
        )
        async with self._engine.reading() as connection:
            return {row[0] for row in await connection.execute(statement)}

    async def usual_duration_s(self, model: str) -> float | None:
        """The median of the last successes of a model."""
        took = (jobs.c.finished_at - jobs.c.created_at).label("took")
        done = (jobs.c.model == model) & (jobs.c.state == JobState.SUCCEEDED.value)
        statement = select(took).where(done).order_by(jobs.c.created_at.desc()).limit(_RECENT)
        async with self._engine.reading() as connection:
            times = sorted(row.took for row in await connection.execute(statement))
        return times[len(times) // 2] if times else None

    async def open_providers(self) -> set[str]:
        """The configured names of those who have open jobs."""
        statement = select(jobs.c.provider).where(jobs.c.finished_at.is_(None)).distinct()
        async with self._engine.reading() as connection:
            return {row[0] for row in await connection.execute(statement)}

    async def count_open(self) -> int:
        async with self._engine.reading() as connection:
            statement = select(func.count()).select_from(jobs).where(jobs.c.finished_at.is_(None))
            return int((await connection.execute(statement)).scalar_one())

    # --- results ------------------------------------------------------------------------------------------------------

    async def results(self, job_id: str) -> list[StoredArtifact]:
        wanted = select(artifacts).where(artifacts.c.job_id == job_id).order_by(artifacts.c.position)
        async with self._engine.reading() as connection:
            return [StoredArtifact(**row._asdict()) for row in await connection.execute(wanted)]

    async def result(self, artifact_id: str) -> StoredArtifact | None:
        async with self._engine.reading() as connection:
            row = (await connection.execute(select(artifacts).where(artifacts.c.id == artifact_id))).first()
        return None if row is None else StoredArtifact(**row._asdict())

    async def expired_results(self, now: float, limit: int) -> list[StoredArtifact]:
        kept = (artifacts.c.expires_at <= now) & artifacts.c.file.is_not(None)
        async with self._engine.reading() as connection:
            rows = await connection.execute(select(artifacts).where(kept).order_by(artifacts.c.expires_at).limit(limit))
            return [StoredArtifact(**row._asdict()) for row in rows]

    async def forget_files(self, ids: Collection[str]) -> None:
        """Their files are gone; that there was a result stays known."""
        async with self._engine.writing() as connection:
            await connection.execute(update(artifacts).where(artifacts.c.id.in_(_listed(ids))).values(file=None))

    async def forget_names(self, now: float) -> None:
        """Clients' names for requests that are too old to be asked for again."""
        old = idempotency.c.expires_at <= now
        async with self._engine.reading() as connection:
            if (await connection.execute(select(idempotency.c.name).where(old).limit(1))).first() is None:
                return
        async with self._engine.writing() as connection:
            await connection.execute(delete(idempotency).where(old))

    async def known_files(self, names: Collection[str]) -> set[str]:
        """Which of these files belong to a result."""
        statement = select(artifacts.c.file).where(artifacts.c.file.in_(_listed(names)))
        async with self._engine.reading() as connection:
            return {row[0] for row in await connection.execute(statement)}

    # --- messages to clients ------------------------------------------------------------------------------------------

    async def due_webhooks(self, now: float, limit: int, until: float) -> list[Webhook]:
        """Messages to send now; they are not due again before ``until``."""
        if not self._engine.glance.finds(_WEBHOOK_AT_A_GLANCE, now):
            return []  # nearly always: the file is left to those who have something to write
        due = select(webhooks.c.job_id).where(webhooks.c.next_at <= now).order_by(webhooks.c.next_at).limit(limit)
        taken = update(webhooks).where(webhooks.c.job_id.in_(due)).values(next_at=until).returning(*webhooks.columns)
        async with self._engine.writing() as connection:
            rows = (await connection.execute(taken)).all()
            found = await connection.execute(_all().where(jobs.c.id.in_(_listed([row.job_id for row in rows]))))
            by_id = {row.id: _job(row) for row in found}
        messages = []
        for row in rows:
            address = self._vault.unseal(row.sealed, places.webhook_address(row.job_id))
            if address is None:
                await self._give_up_message(row)
            else:
                messages.append(Webhook(by_id[row.job_id], address.decode(), row.attempts))
        return messages

    async def _give_up_message(self, row: Row[*tuple[Any, ...]]) -> None:
        """A key that is gone does not come back by waiting."""
        log.error("webhook.unreadable", job_id=row.job_id, attempts=row.attempts)
        why = "its address cannot be opened: the vault's key has changed"
        await self.note_delivery(row.job_id, Delivery(row.attempts, None, None, why, None))

    async def delivery(self, job_id: str) -> Delivery | None:
        """How far the message about a job is; ``None``: nobody wanted one."""
        columns = [webhooks.c[name] for name in Delivery.__slots__]
        async with self._engine.reading() as connection:
            row = (await connection.execute(select(*columns).where(webhooks.c.job_id == job_id))).first()
        return None if row is None else Delivery(**row._asdict())

    async def deliver_again(self, job_id: str, now: float) -> bool:
        """Have the message about a finished job sent anew, with all its attempts; whether somebody wanted one."""
        again = {"attempts": 0, "next_at": now, "last_status": None, "last_error": None, "delivered_at": None}
        statement = update(webhooks).where(webhooks.c.job_id == job_id).values(**again)
        async with self._engine.writing() as connection:
            return (await connection.execute(statement)).rowcount == 1

    async def note_delivery(self, job_id: str, delivery: Delivery) -> None:
        values = {name: getattr(delivery, name) for name in Delivery.__slots__}
        async with self._engine.writing() as connection:
            await connection.execute(update(webhooks).where(webhooks.c.job_id == job_id).values(**values))


def _all() -> Select[*tuple[Any, ...]]:
    return select(*_JOB_COLUMNS)


def _matches(wanted: JobFilter) -> list[ColumnElement[bool]]:
    c = jobs.c
    exact = (
        (c.state, wanted.state),
        (c.kind, wanted.kind),
        (c.provider, wanted.provider),
        (c.model, wanted.model),
        (c.account_id, wanted.account_id),
        (c.key_id, wanted.key_id),
        (c.user_identifier, wanted.user),
    )
    conditions: list[ColumnElement[bool]] = [column == value for column, value in exact if value is not None]
    if wanted.only_open:
        conditions.append(c.finished_at.is_(None))
    if wanted.since is not None:
        conditions.append(c.created_at >= wanted.since)
    if wanted.until is not None:
        conditions.append(c.created_at < wanted.until)
    return conditions


def _is_due(now: float) -> ColumnElement[bool]:
    return jobs.c.finished_at.is_(None) & (jobs.c.next_at <= now) & (jobs.c.lease_until <= now)


def _follows(job: Job, *, oldest_first: bool) -> ColumnElement[bool]:
    at, ident = jobs.c.created_at, jobs.c.id
    same = at == job.created_at
    if oldest_first:
        return (at > job.created_at) | (same & (ident > job.id))
    return (at < job.created_at) | (same & (ident < job.id))


def _listed(values: Collection[str]) -> Select[*tuple[Any, ...]]:
    """As one parameter, however many there are."""
    each = func.json_each(json.dumps(list(values))).table_valued("value")
    return select(each.c.value)


def _job(row: Row[*tuple[Any, ...]]) -> Job:
    values = row._asdict()
    return Job(
        **{
            **values,
            "kind": MediaKind(values["kind"]),
            "state": JobState(values["state"]),
            "usage": msgspec.json.decode(values["usage"], type=MediaUsage),
            "handle": msgspec.json.decode(values["handle"], type=dict[str, str]),
        }
    )

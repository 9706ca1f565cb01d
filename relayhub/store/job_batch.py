"""The jobs' part of one transaction of the writer: rows are read once, decided in order, and written together."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

import orjson

from relayhub.store.intents import Intent
from relayhub.store.job_intents import Changes, FinishJob, MoveJob, Once, Opened, OpenJob, TouchJob, Value
from relayhub.store.rows import Row, insert_into, storable
from relayhub.types.job import TERMINAL, Job, StoredArtifact
from relayhub.types.media import JobState

_LOAD_JOBS = "SELECT id, state, provider FROM jobs WHERE id IN (SELECT value FROM json_each(?))"
_LOAD_OWNER = (
    "SELECT 1 FROM jobs WHERE provider = (SELECT provider FROM jobs WHERE id = ?) AND upstream_id = ? AND id <> ?"
)
_LOAD_ONCE = "SELECT body_hash, job_id FROM idempotency WHERE key_id = ? AND name = ? AND expires_at > ?"
_INSERT_JOB = insert_into("jobs")
_INSERT_ONCE = (
    f"{insert_into('idempotency')} ON CONFLICT (key_id, name) DO UPDATE SET body_hash = excluded.body_hash,"
    " job_id = excluded.job_id, expires_at = excluded.expires_at"
)
_INSERT_ARTIFACT = insert_into("artifacts")
_INSERT_WEBHOOK = insert_into("webhooks")
_FORGET_NAME = "DELETE FROM idempotency WHERE job_id = ?"
_DUE_WEBHOOK = "UPDATE webhooks SET next_at = ? WHERE job_id = ?"


class JobBatch:
    """Used by :class:`relayhub.store.batch.Batch`."""

    def __init__(self, connection: sqlite3.Connection, intents: Sequence[Intent[object]], now: float) -> None:
        self._connection = connection
        self._now = now
        self._providers: dict[str, str] = {}
        self._claimed: dict[tuple[str, str], str] = {}
        """Provider and its name for a job → the job that was given it in this batch."""
        self._states = self._load(intents)
        self._opened: list[Row] = []
        self._once: list[Row] = []
        self._known: dict[tuple[str, str], tuple[str, str]] = {}
        """Requests that were named in this batch: key and name → body and job."""
        self._updates: list[tuple[str, Changes, bool]] = []
        self._artifacts: list[Row] = []
        self._webhooks: list[Row] = []
        self._finished: list[Row] = []
        self._forgotten: list[Row] = []

    def _load(self, intents: Sequence[Intent[object]]) -> dict[str, JobState]:
        wanted = {intent.job_id for intent in intents if isinstance(intent, MoveJob | TouchJob | FinishJob)}
        if not wanted:
            return {}
        rows = self._connection.execute(_LOAD_JOBS, (json.dumps(sorted(wanted)),)).fetchall()
        self._providers = {row[0]: row[2] for row in rows}
        return {row[0]: JobState(row[1]) for row in rows}

    def replayed(self, intent: OpenJob) -> Opened | None:
        """The job that this request has led to before."""
        once, key_id = intent.once, intent.job.key_id
        if once is None:
            return None
        row = self._known.get((key_id, once.name))
        row = row or self._connection.execute(_LOAD_ONCE, (key_id, once.name, self._now)).fetchone()
        return None if row is None else Opened(row[1], replayed=True, same_body=row[0] == once.body_hash)

    def open(self, intent: OpenJob, hold_id: int) -> Opened:
        job = intent.job
        self._opened.append(job_row(job, hold_id, intent.sealed, intent.lease_owner, intent.lease_until))
        self._states[job.id] = job.state
        if intent.webhook is not None:
            self._webhooks.append((job.id, intent.webhook, 0, None, None, None, None))
        if intent.once is not None:
            self._remember(job, intent.once)
        return Opened(job.id, hold_id)

    def _remember(self, job: Job, once: Once) -> None:
        self._known[job.key_id, once.name] = once.body_hash, job.id
        self._once.append((job.key_id, once.name, once.body_hash, job.id, once.expires_at))

    def move(self, intent: MoveJob) -> bool:
        if self._states.get(intent.job_id) not in intent.states:
            return False
        if "upstream_id" in intent.changes and not self._claims(intent.job_id, str(intent.changes["upstream_id"])):
            return False
        self._change(intent.job_id, intent.changes, visible=intent.visible)
        return True

    def _claims(self, job_id: str, upstream_id: str) -> bool:
        """An upstream's job belongs to one of ours only, whoever asks at the same moment."""
        claimed = self._claimed.setdefault((self._providers.get(job_id, ""), upstream_id), job_id)
        other = self._connection.execute(_LOAD_OWNER, (job_id, upstream_id, job_id)).fetchone()
        return claimed == job_id and other is None

    def touch(self, intent: TouchJob) -> None:
        if self._states.get(intent.job_id) not in (None, *TERMINAL):
            self._change(intent.job_id, intent.changes, visible="progress" in intent.changes)

    def finish(self, intent: FinishJob) -> bool:
        """Whether this one ends the job."""
        if self._states.get(intent.job_id) not in intent.states:
            return False
        self._change(intent.job_id, {**intent.changes, "finished_at": self._now, "sealed": None}, visible=True)
        self._artifacts += [artifact_row(artifact) for artifact in intent.artifacts]
        self._finished.append((self._now, intent.job_id))
        if intent.forget_name:
            self._forgotten.append((intent.job_id,))
        return True

    def _change(self, job_id: str, changes: Changes, *, visible: bool) -> None:
        if "state" in changes:
            self._states[job_id] = JobState(str(changes["state"]))
        self._updates.append((job_id, changes, visible))

    def write(self) -> None:
        self._many(_INSERT_JOB, self._opened)
        self._many(_INSERT_WEBHOOK, self._webhooks)
        self._many(_INSERT_ONCE, self._once)
        for job_id, changes, visible in self._updates:
            self._update(job_id, changes, visible=visible)
        self._many(_INSERT_ARTIFACT, self._artifacts)
        self._many(_DUE_WEBHOOK, self._finished)
        self._many(_FORGET_NAME, self._forgotten)

    def _many(self, statement: str, rows: Sequence[Row]) -> None:
        if rows:
            self._connection.executemany(statement, rows)

    def _update(self, job_id: str, changes: Changes, *, visible: bool) -> None:
        """The columns' names are the engine's own words, never a client's."""
        parts = [f"{name} = ?" for name in changes]
        if visible:
            parts.append("revision = revision + 1")
        values: list[Value] = [_storable(value) for value in changes.values()]
        statement = f"UPDATE jobs SET {', '.join(parts)} WHERE id = ?"  # noqa: S608
        self._connection.execute(statement, (*values, job_id))


def _storable(value: Value) -> Value:
    return storable(value) if isinstance(value, str) else value


def job_row(job: Job, hold_id: int, sealed: bytes, lease_owner: str, lease_until: float) -> Row:
    return (
        job.id,
        job.call_id,
        hold_id,
        job.kind.value,
        job.dialect,
        job.platform,
        job.account_id,
        job.key_id,
        _storable(job.user_identifier),
        storable(job.model),
        job.provider,
        storable(job.upstream_model),
        job.price,
        job.rates,
        job.state.value,
        job.progress,
        job.seconds,
        orjson.dumps(job.usage).decode(),
        sealed,
        job.upstream_id,
        orjson.dumps(dict(job.handle)).decode(),
        job.error_code,
        job.error_message,
        job.parent_id,
        job.attempts,
        job.poll_errors,
        job.missing,
        job.created_at,
        job.submitted_at,
        job.started_at,
        job.finished_at,
        job.next_at,
        lease_owner,
        lease_until,
        job.revision,
    )


def artifact_row(artifact: StoredArtifact) -> Row:
    return (
        artifact.id,
        artifact.job_id,
        artifact.position,
        artifact.media_type,
        artifact.size,
        artifact.file,
        artifact.expires_at,
        artifact.note,
    )

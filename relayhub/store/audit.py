"""The audit log: who changed what, from what to what. Rows are only ever added, in the transaction of the change itself.

Each row carries a hash over itself and the row before it, so that an altered or missing one shows. No secret is ever in
a row: where one is part of what changed, its hash is.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, insert, select, text

from relayhub.store.async_connection import AsyncConnection
from relayhub.store.engine import Engine
from relayhub.store.rows import insert_into, storable
from relayhub.store.schema import audit
from relayhub.types.json import JsonObject

_LAST_CHAIN = "SELECT chain FROM audit ORDER BY id DESC LIMIT 1"
_INSERT = insert_into("audit", without=("id",))
_NEWEST = text("SELECT seq FROM sqlite_sequence WHERE name = 'audit'")
"""The highest id that was ever given: it stays when a row is deleted."""
_COLUMNS = ("at", "actor", "action", "subject", "before", "after", "request_id", "client")


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something, and from where: ``person:alice``, ``admin-key:ci``, ``cli:root``, ``system``."""

    name: str
    request_id: str | None = None
    client: str | None = None


SYSTEM = Actor("system")


@dataclass(frozen=True, slots=True)
class Change:
    """``action``: noun and verb, ``key.create``; ``subject``: the id of what was changed. ``before`` is ``None`` for what
    is new, ``after`` for what is gone."""

    by: Actor
    action: str
    subject: str
    before: JsonObject | None = None
    after: JsonObject | None = None


@dataclass(frozen=True, slots=True)
class AuditRow:
    id: int
    at: float
    actor: str
    action: str
    subject: str
    before: JsonObject | None
    after: JsonObject | None
    request_id: str | None
    client: str | None


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """``below``: only rows with a smaller id."""

    actor: str | None = None
    action: str | None = None
    subject: str | None = None
    below: int | None = None


async def record(connection: AsyncConnection, change: Change, at: float) -> None:
    """Add a row in the caller's write transaction."""
    last = await connection.execute(select(audit.c.chain).order_by(audit.c.id.desc()).limit(1))
    await connection.execute(insert(audit).values(_chained(change, at, last.scalar())))


def write_changes(connection: sqlite3.Connection, changes: Sequence[Change], at: float) -> None:
    """The same for the writer's plain connection."""
    if not changes:
        return
    last = connection.execute(_LAST_CHAIN).fetchone()
    chain: str | None = last[0] if last else None
    for change in changes:
        row = _chained(change, at, chain)
        chain = str(row["chain"])
        connection.execute(_INSERT, tuple(row.values()))


def _chained(change: Change, at: float, previous: str | None) -> dict[str, str | float | None]:
    row: dict[str, str | float | None] = {
        "at": float(at),
        "actor": storable(change.by.name),
        "action": change.action,
        "subject": storable(change.subject),
        "before": _text(change.before),
        "after": _text(change.after),
        "request_id": change.by.request_id,
        "client": change.by.client,
    }
    return {**row, "chain": _link(previous, row.values())}


def _link(previous: str | None, values: Iterable[object]) -> str:
    text = json.dumps([previous, *values], ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _text(value: JsonObject | None) -> str | None:
    return None if value is None else storable(json.dumps(value, ensure_ascii=False, sort_keys=True))


class AuditLog:
    """Reading it, and noting what is no change of the store's own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def note(self, change: Change, at: float) -> None:
        """For what has no transaction of its own to stand in."""
        async with self._engine.writing() as connection:
            await record(connection, change, at)

    async def rows(self, wanted: AuditFilter, limit: int) -> list[AuditRow]:
        """The newest first."""
        c = audit.c
        exact = ((c.actor, wanted.actor), (c.action, wanted.action), (c.subject, wanted.subject))
        conditions = [column == value for column, value in exact if value is not None]
        if wanted.below is not None:
            conditions.append(c.id < wanted.below)
        statement = select(c.id, *(c[name] for name in _COLUMNS)).where(*conditions).order_by(c.id.desc()).limit(limit)
        async with self._engine.reading() as connection:
            return [_row(row) for row in await connection.execute(statement)]

    async def first_broken(self) -> int | None:
        """The id of the first row that is not what was written, or that follows a missing one; ``None`` for a whole
        log."""
        statement = select(audit.c.id, audit.c.chain, *(audit.c[name] for name in _COLUMNS)).order_by(audit.c.id)
        previous: str | None = None
        expected = 1
        async with self._engine.reading() as connection:
            async with connection.stream(statement) as rows:
                async for row in rows:
                    if row[0] != expected or row[1] != _link(previous, tuple(row)[2:]):
                        return int(row[0])
                    previous, expected = row[1], expected + 1
            newest = (await connection.execute(_NEWEST)).scalar() or 0
        return expected if newest >= expected else None


def _row(row: Row[*tuple[Any, ...]]) -> AuditRow:
    values = row._asdict()
    return AuditRow(**{**values, "before": _read(values["before"]), "after": _read(values["after"])})


def _read(text: str | None) -> JsonObject | None:
    if text is None:
        return None
    value: JsonObject = json.loads(text)
    return value

"""Where sealed values stand in the database."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from relayhub.store import places
from relayhub.store.connection import LOCK_WAIT_S
from relayhub.store.errors import StoreError

MAX_BYTES = 4 << 20
"""Of values that are in memory at once."""


@dataclass(frozen=True, slots=True)
class SealedColumn:
    """``place`` is made of the values of ``known_by``. ``wanted``: the rows that somebody may still open at ``:now``."""

    table: str
    column: str
    known_by: tuple[str, ...]
    place: Callable[..., str]
    wanted: str

    @property
    def name(self) -> str:
        return f"{self.table}.{self.column}"


SEALED = (
    SealedColumn("kept_turns", "sealed", ("account_id", "ref"), places.kept_turn, "expires_at > :now"),
    SealedColumn("stream_tickets", "request", ("id",), places.ticket_request, "expires_at > :now"),
    SealedColumn(
        "stream_events",
        "sealed",
        ("ticket_id", "first"),
        places.ticket_events,
        "(SELECT coalesce(expires_at > :now, 1) FROM stream_tickets WHERE id = ticket_id)",
    ),
    SealedColumn("named_calls", "sealed", ("key_id", "name", "call_id"), places.named_call, "expires_at > :now"),
    SealedColumn("jobs", "sealed", ("id",), places.job_request, "finished_at IS NULL"),
    SealedColumn("webhooks", "sealed", ("job_id",), places.webhook_address, "next_at IS NOT NULL"),
)
"""All of them. A ticket that is being answered has no expiry yet; a finished job's message may be still to come."""


@dataclass(frozen=True, slots=True)
class SealedValue:
    """``place``: what it is bound to; ``row``: its rowid."""

    column: SealedColumn
    row: int
    sealed: bytes
    place: str


def holds_sealed(path: Path, now: float) -> bool:
    """Whether a key is still needed for something in an up-to-date database. Raises ``StoreError``."""
    try:
        with closing(sqlite3.connect(path, timeout=LOCK_WAIT_S)) as connection:
            return any(_any_wanted(connection, column, now) for column in SEALED)
    except sqlite3.Error as error:
        raise StoreError(f"{path}: the database cannot be read: {error}.") from error


def _any_wanted(connection: sqlite3.Connection, column: SealedColumn, now: float) -> bool:
    statement = f"SELECT 1 FROM {column.table} WHERE {column.column} IS NOT NULL AND {column.wanted} LIMIT 1"  # noqa: S608
    return connection.execute(statement, {"now": now}).fetchone() is not None


def wanted_values(connection: sqlite3.Connection, now: float) -> Iterator[SealedValue]:
    """Those that somebody may still open."""
    for column in SEALED:
        yield from _values(connection, column, column.wanted, {"now": now})


def values_without(
    connection: sqlite3.Connection, column: SealedColumn, head: bytes, after: int, limit: int
) -> list[SealedValue]:
    """Some that do not begin with ``head``, in the order of their rows, from the one behind ``after``: about
    :data:`MAX_BYTES` or one."""
    condition = f"substr({column.column}, 1, :length) <> :head AND rowid > :after ORDER BY rowid LIMIT :limit"
    given = {"length": len(head), "head": head, "after": after, "limit": limit}
    values: list[SealedValue] = []
    for value in _values(connection, column, condition, given):
        values.append(value)
        if sum(len(each.sealed) for each in values) >= MAX_BYTES:
            break
    return values


def count_by_head(connection: sqlite3.Connection, length: int) -> dict[bytes, int]:
    """How many values begin how."""
    counts: dict[bytes, int] = {}
    for column in SEALED:
        head = f"substr({column.column}, 1, ?)"
        statement = f"SELECT {head}, count(*) FROM {column.table} WHERE {column.column} IS NOT NULL GROUP BY 1"  # noqa: S608
        for found, number in connection.execute(statement, (length,)):
            counts[found] = counts.get(found, 0) + number
    return counts


def replace_value(connection: sqlite3.Connection, value: SealedValue, sealed: bytes) -> bool:
    """``False``: it has changed or gone meanwhile, and nothing was done."""
    column = value.column
    statement = f"UPDATE {column.table} SET {column.column} = ? WHERE rowid = ? AND {column.column} = ?"  # noqa: S608
    return connection.execute(statement, (sealed, value.row, value.sealed)).rowcount == 1


def _values(
    connection: sqlite3.Connection, column: SealedColumn, condition: str, given: dict[str, object]
) -> Iterator[SealedValue]:
    columns = ", ".join(("rowid", column.column, *column.known_by))
    statement = f"SELECT {columns} FROM {column.table} WHERE {column.column} IS NOT NULL AND {condition}"  # noqa: S608
    for row, sealed, *known_by in connection.execute(statement, given):
        yield SealedValue(column, row, bytes(sealed), column.place(*known_by))

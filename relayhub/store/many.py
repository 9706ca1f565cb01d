"""Many rows in few steps of SQLite.

The driver gives up the interpreter's lock around every step and must win it back after it. ``executemany`` takes a step a
row, so a batch would queue for that lock as often as it has rows; here it does so a handful of times."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import cache
from typing import Any

import orjson

from relayhub.store.rows import Row

_ALL_SIZES_TO = 16
"""So many rows, or fewer, are one statement."""

_LARGE_SIZES = (64, 48, 32, 28, 24, 20, _ALL_SIZES_TO)
"""One of them and one of the smaller do for most larger numbers. Each is compiled once and stays in the connection's cache,
where those of many columns take some 50 KB."""


def insert_many(cursor: sqlite3.Cursor, statement: str, rows: Sequence[Row], after: str = "") -> None:
    """``statement``: an INSERT that ends in one group of placeholders; ``after``: what follows all of them."""
    if len(rows) == 1 and not after:  # ``execute`` would ask for the last row's id, and let the lock go for that
        cursor.executemany(statement, rows)
        return
    for start, end, groups in _inserts(statement, len(rows), after):
        values: list[Any] = []
        for row in rows[start:end]:
            values += row
        cursor.execute(groups, values)


def delete_many(cursor: sqlite3.Cursor, statement: str, ids: Sequence[int]) -> None:
    """``statement``: a DELETE that ends in ``IN (?)``. A list of placeholders takes half the time of a JSON array, for which
    SQLite makes a table."""
    if len(ids) == 1:
        cursor.execute(statement, ids)
        return
    for start, end, placeholders in _deletes(statement, len(ids)):
        cursor.execute(placeholders, ids[start:end])


def _parts(number: int) -> list[tuple[int, int]]:
    """So many rows, cut where a statement ends."""
    parts, at = [], 0
    while (left := number - at) > 0:
        size = left if left <= _ALL_SIZES_TO else next(size for size in _LARGE_SIZES if size <= left)
        parts.append((at, at + size))
        at += size
    return parts


@cache
def _inserts(statement: str, number: int, after: str) -> tuple[tuple[int, int, str], ...]:
    return tuple((start, end, _with_groups(statement, end - start, after)) for start, end in _parts(number))


@cache
def _deletes(statement: str, number: int) -> tuple[tuple[int, int, str], ...]:
    return tuple((start, end, _with_placeholders(statement, end - start)) for start, end in _parts(number))


@cache
def _with_groups(statement: str, size: int, after: str) -> str:
    head, _, group = statement.rpartition(" VALUES ")
    return f"{head} VALUES {', '.join([group] * size)} {after}"


@cache
def _with_placeholders(statement: str, size: int) -> str:
    return statement.replace("(?)", f"({', '.join('?' * size)})")


def one_row(table: str, columns: Sequence[str], where: str) -> str:
    """A SELECT of all rows that match, as one JSON text: for :func:`load_many`. Whole numbers and texts only: JSON may
    cut the last digits of others."""
    return f"SELECT json_group_array(json_array({', '.join(columns)})) FROM {table} WHERE {where}"  # noqa: S608  # constants


def load_many(cursor: sqlite3.Cursor, statement: str, values: Sequence[str | int]) -> list[list[Any]]:
    """The rows of a :func:`one_row` statement whose placeholder takes a JSON array; none for no ``values``."""
    if not values:
        return []
    (text,) = cursor.execute(statement, (orjson.dumps(values).decode(),)).fetchone()
    rows: list[list[Any]] = orjson.loads(text)
    return rows

"""Many rows in few steps of SQLite.

The driver gives up the interpreter's lock around every step and must win it back after it. ``executemany`` takes a step a
row, so a batch would queue for that lock as often as it has rows; here it does so a handful of times."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import cache
from itertools import chain
from typing import Any

import orjson

from relayhub.store.rows import Row

_ALL_SIZES_TO = 16
"""So many rows, or fewer, are one statement."""

_LARGE_SIZES = (64, 48, 32, 28, 24, 20)
"""One of them and one of the smaller do for most larger numbers. Each is compiled once and stays in the connection's cache,
where those of many columns take some 50 KB."""


def insert_many(connection: sqlite3.Connection, statement: str, rows: Sequence[Row], after: str = "") -> None:
    """``statement``: an INSERT that ends in one group of placeholders; ``after``: what follows all of them."""
    at, left = 0, len(rows)
    for size in _LARGE_SIZES if left > _ALL_SIZES_TO else ():
        while left >= size:
            _insert(connection, statement, rows[at : at + size], after)
            at, left = at + size, left - size
    while left:
        size = min(left, _ALL_SIZES_TO)
        _insert(connection, statement, rows[at : at + size] if at or size < left else rows, after)
        at, left = at + size, left - size


def _insert(connection: sqlite3.Connection, statement: str, rows: Sequence[Row], after: str) -> None:
    values = rows[0] if len(rows) == 1 else tuple(chain.from_iterable(rows))
    connection.execute(_widened(statement, len(rows), after), values)


@cache
def _widened(statement: str, size: int, after: str) -> str:
    head, _, group = statement.rpartition(" VALUES ")
    return f"{head} VALUES {', '.join([group] * size)} {after}"


def one_row(table: str, columns: Sequence[str], where: str) -> str:
    """A SELECT of all rows that match, as one JSON text: for :func:`load_many`. Whole numbers and texts only: JSON may
    cut the last digits of others."""
    return f"SELECT json_group_array(json_array({', '.join(columns)})) FROM {table} WHERE {where}"  # noqa: S608  # constants


def load_many(connection: sqlite3.Connection, statement: str, values: Sequence[str | int]) -> list[list[Any]]:
    """The rows of a :func:`one_row` statement whose placeholder takes a JSON array; none for no ``values``."""
    if not values:
        return []
    (text,) = connection.execute(statement, (orjson.dumps(values).decode(),)).fetchone()
    rows: list[list[Any]] = orjson.loads(text)
    return rows

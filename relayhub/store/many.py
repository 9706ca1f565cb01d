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

_SIZES = (64, 48, 32, 24, 20, 16, 12, 10, 8, 7, 6, 5, 4, 3, 2)
"""Rows of one statement: two of them do for most numbers. Each is compiled once and stays in the connection's cache."""


def insert_many(connection: sqlite3.Connection, statement: str, rows: Sequence[Row]) -> None:
    """``statement``: an INSERT that ends in one group of placeholders."""
    at, left = 0, len(rows)
    if left == 1:  # as for any call that is alone
        connection.execute(statement, rows[0])
        return
    for size in _SIZES:
        while left >= size:
            values = tuple(chain.from_iterable(rows[at : at + size]))
            connection.execute(_widened(statement, size), values)
            at, left = at + size, left - size
    if left:
        connection.execute(statement, rows[at])


@cache
def _widened(statement: str, size: int) -> str:
    head, _, group = statement.rpartition(" VALUES ")
    return f"{head} VALUES {', '.join([group] * size)}"


def one_row(table: str, columns: Sequence[str], where: str) -> str:
    """A SELECT of all rows that match, as one JSON text: for :func:`load_many`. Whole numbers and texts only: JSON may
    cut the last digits of others."""
    return f"SELECT json_group_array(json_array({', '.join(columns)})) FROM {table} WHERE {where}"  # noqa: S608  # constants


def load_many(connection: sqlite3.Connection, statement: str, values: Sequence[str]) -> list[list[Any]]:
    """The rows of a :func:`one_row` statement whose placeholder takes a JSON array; none for no ``values``."""
    if not values:
        return []
    (text,) = connection.execute(statement, (orjson.dumps(values).decode(),)).fetchone()
    rows: list[list[Any]] = orjson.loads(text)
    return rows

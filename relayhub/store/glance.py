"""A look at the file from the event loop itself: whether there is anything to do for those who ask several times a second.

Such a question is one step along an index, which takes some microseconds; a connection of the pool takes a hundred times
that, with its thread, and an idle hub would do little else. Nothing here waits: readers of a write-ahead log are not held
up by whoever writes, and where somebody has the whole file to himself, the answer is that the long way has to be taken.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from pathlib import Path

_CACHE_KIB = 64
_STATEMENTS = 32


class Glance:
    """For the thread of the event loop. Opened by the first question, and anew after each failure."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def finds(self, statement: str, *values: object) -> bool:
        """Whether there is such a row. True as well where the file cannot be read at the moment: whoever then goes the long
        way waits there as long as it takes, or is told why not."""
        rows = self._rows(statement, values)
        return rows is None or bool(rows)

    def number(self, statement: str, *values: object) -> int | None:
        """The first column of the first row; ``None``: there is no row, or the file cannot be read at the moment."""
        rows = self._rows(statement, values)
        return int(rows[0][0]) if rows else None

    def close(self) -> None:
        """Idempotent."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def _rows(self, statement: str, values: tuple[object, ...]) -> list[tuple[int, ...]] | None:
        """All of them, so that no read transaction stays open."""
        try:
            connection = self._connection
            if connection is None:
                connection = self._connection = _connect(self._path)
            return connection.execute(statement, values).fetchall()
        except sqlite3.Error:
            self.close()
            return None


def _connect(path: Path) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode=rw"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=0, cached_statements=_STATEMENTS)
    try:
        connection.execute("PRAGMA query_only = ON")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    except BaseException:
        connection.close()
        raise
    return connection

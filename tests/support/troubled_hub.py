"""``python -m tests.support.troubled_hub serve …``: relayhub on a database that is read-only for as long as a file named
``read-only`` lies in the working folder."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

_connect = sqlite3.connect
_BEGINS = ("BEGIN IMMEDIATE", "BEGIN EXCLUSIVE")


class _Cursor(sqlite3.Cursor):
    def execute(self, sql: str, *rest: Any) -> sqlite3.Cursor:
        if sql.startswith(_BEGINS):
            _trouble(self.connection)
        return super().execute(sql, *rest)


class _Connection(sqlite3.Connection):
    def cursor(self, factory: Any = _Cursor) -> Any:
        return super().cursor(factory)

    def execute(self, sql: str, *rest: Any) -> sqlite3.Cursor:
        if sql.startswith(_BEGINS):
            _trouble(self)
        return super().execute(sql, *rest)


def _trouble(connection: sqlite3.Connection) -> None:
    """SQLite's own error comes of it: "attempt to write a readonly database"."""
    sqlite3.Connection.execute(connection, f"PRAGMA query_only = {int(Path('read-only').exists())}")


def _connected(*args: Any, **kwargs: Any) -> sqlite3.Connection:
    return _connect(*args, **{**kwargs, "factory": _Connection})


if __name__ == "__main__":
    sqlite3.connect = _connected  # type: ignore[assignment]
    from relayhub.cli import main

    main()

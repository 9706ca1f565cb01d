"""SQLAlchemy over the same file: reads, and the few writes that move no money."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.util import greenlet_spawn

from relayhub.store import refusals
from relayhub.store.async_connection import AsyncConnection, transaction
from relayhub.store.connection import LOCK_POLL_MS, LOCK_WAIT_S, is_busy
from relayhub.store.glance import Glance

_WRITES = "relayhub_writes"


class Engine:
    """Connections for one database file. ``frozen``: it is nobody's at the moment, and is only read. ``glance``: for
    questions that are asked all the time."""

    def __init__(self, path: Path, *, frozen: bool = False) -> None:
        self.glance = Glance(path)
        self._engine = create_engine(
            _frozen(path) if frozen else URL.create("sqlite+aiosqlite", database=str(path)),
            connect_args={"timeout": LOCK_WAIT_S, "isolation_level": None},
            pool_size=4,
            pool_use_lifo=True,  # one that is warm, and as few threads as there is work for
            hide_parameters=True,  # values must not get into a log with an error
        )
        event.listen(self._engine, "connect", _on_connect)
        event.listen(self._engine, "begin", _on_begin)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """One consistent view of the database. Raises ``HubError`` UNAVAILABLE if it cannot be read."""
        try:
            async with transaction(self._engine) as connection:
                yield connection
        except DBAPIError as error:
            raise refusals.unavailable(str(error.orig)) from error

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A write transaction from its beginning (a read that becomes a write could fail with BUSY at once); committed
        at the end of the block. Raises ``HubError`` UNAVAILABLE if it cannot be written."""
        try:
            async with transaction(self._engine, **{_WRITES: True}) as connection:
                yield connection
        except DBAPIError as error:
            raise refusals.unavailable(str(error.orig)) from error

    async def close(self) -> None:
        self.glance.close()
        await greenlet_spawn(self._engine.dispose)


def _frozen(path: Path) -> URL:
    query = {"uri": "true", "mode": "ro", "immutable": "1"}
    return URL.create("sqlite+aiosqlite", database=path.absolute().as_uri(), query=query)


def _on_connect(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.close()


def _on_begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    if writes:
        _take_turn(connection)
    else:
        connection.exec_driver_sql("BEGIN")


def _take_turn(connection: Connection) -> None:
    """Wait for other processes, but never long at a time: see ``connection.LOCK_POLL_MS``."""
    deadline = time.monotonic() + LOCK_WAIT_S
    connection.exec_driver_sql(f"PRAGMA busy_timeout = {LOCK_POLL_MS}")
    try:
        while not _has_begun(connection, deadline):
            pass  # SQLite has waited already
    finally:
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {LOCK_WAIT_S * 1000:.0f}")


def _has_begun(connection: Connection, deadline: float) -> bool:
    try:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    except DBAPIError as error:
        if not (isinstance(error.orig, sqlite3.Error) and is_busy(error.orig)) or time.monotonic() >= deadline:
            raise
        return False
    return True

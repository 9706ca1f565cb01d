"""SQLAlchemy over the same file: reads, and the few writes that move no money."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from relayhub.store import refusals
from relayhub.store.connection import LOCK_WAIT_S

_WRITES = "relayhub_writes"


class Engine:
    """Connections for one database file."""

    def __init__(self, path: Path) -> None:
        self._engine = create_async_engine(
            URL.create("sqlite+aiosqlite", database=str(path)),
            connect_args={"timeout": LOCK_WAIT_S, "isolation_level": None},
            pool_size=4,
        )
        event.listen(self._engine.sync_engine, "connect", _on_connect)
        event.listen(self._engine.sync_engine, "begin", _on_begin)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """One consistent view of the database. Raises ``HubError`` UNAVAILABLE if it cannot be read."""
        try:
            async with self._engine.connect() as connection, connection.begin():
                yield connection
        except DBAPIError as error:
            raise refusals.unavailable(str(error.orig)) from error

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A write transaction from its beginning (a read that becomes a write could fail with BUSY at once); committed
        at the end of the block. Raises ``HubError`` UNAVAILABLE if it cannot be written."""
        try:
            async with self._engine.connect() as connection:
                await connection.execution_options(**{_WRITES: True})
                async with connection.begin():
                    yield connection
        except DBAPIError as error:
            raise refusals.unavailable(str(error.orig)) from error

    async def close(self) -> None:
        await self._engine.dispose()


def _on_connect(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.close()


def _on_begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

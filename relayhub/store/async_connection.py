"""SQLAlchemy's connections for coroutines. Its own package for this loads its object-relational mapper too, which nothing
here uses: 6 MB and 50 ms of each start."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVarTuple, overload

from sqlalchemy import Connection, CursorResult, Executable, Row
from sqlalchemy import Engine as SyncEngine
from sqlalchemy.sql.selectable import TypedReturnsRows
from sqlalchemy.util import greenlet_spawn

Ts = TypeVarTuple("Ts")

Values = Mapping[str, object]


class AsyncConnection:
    """Within a transaction; see :func:`transaction`."""

    __slots__ = ("_sync",)

    def __init__(self, sync: Connection) -> None:
        self._sync = sync

    @overload
    async def execute(
        self, statement: TypedReturnsRows[*Ts], parameters: Values | Sequence[Values] | None = None
    ) -> CursorResult[*Ts]: ...

    @overload
    async def execute(
        self, statement: Executable, parameters: Values | Sequence[Values] | None = None
    ) -> CursorResult[*tuple[Any, ...]]: ...

    async def execute(
        self, statement: Executable, parameters: Values | Sequence[Values] | None = None
    ) -> CursorResult[*tuple[Any, ...]]:
        """All rows are there when it returns."""
        return await greenlet_spawn(self._sync.execute, statement, parameters)

    async def exec_driver_sql(self, statement: str) -> CursorResult[*tuple[Any, ...]]:
        return await greenlet_spawn(self._sync.exec_driver_sql, statement)

    @asynccontextmanager
    async def stream(
        self, statement: TypedReturnsRows[*Ts], at_a_time: int = 100
    ) -> AsyncIterator[AsyncIterator[Row[*Ts]]]:
        """Rows as they are read, so that a long table is never in memory as a whole."""
        options = {"stream_results": True}
        result = await greenlet_spawn(self._sync.execute, statement, execution_options=options)

        async def rows() -> AsyncIterator[Row[*Ts]]:
            while some := await greenlet_spawn(result.fetchmany, at_a_time):
                for row in some:
                    yield row

        try:
            yield rows()
        finally:
            await greenlet_spawn(result.close)


@asynccontextmanager
async def transaction(engine: SyncEngine, **options: object) -> AsyncIterator[AsyncConnection]:
    """One transaction on a connection with these execution options: committed at the end of the block, rolled back if the
    block raises or is cancelled. The connection goes back to its pool in any case."""
    sync = await greenlet_spawn(engine.connect)
    try:
        begun = await greenlet_spawn(sync.execution_options(**options).begin)
        yield AsyncConnection(sync)
        await greenlet_spawn(begun.commit)
    finally:  # closing rolls back what was not committed
        await asyncio.shield(asyncio.ensure_future(greenlet_spawn(sync.close)))

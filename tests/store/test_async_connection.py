"""Transactions for coroutines: what is committed, what is rolled back, and that every connection goes back to its pool."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, func, insert, select

from relayhub.store.async_connection import AsyncConnection
from relayhub.store.engine import Engine
from relayhub.types.errors import HubError

POOL = 4
numbers = Table("numbers", MetaData(), Column("n", Integer, primary_key=True))


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    with closing(sqlite3.connect(tmp_path / "some.db")) as connection:
        connection.executescript("PRAGMA journal_mode = WAL; CREATE TABLE numbers (n INTEGER PRIMARY KEY)")
    found = Engine(tmp_path / "some.db")
    yield found
    await found.close()


async def add(connection: AsyncConnection, *values: int) -> None:
    await connection.execute(insert(numbers), [{"n": value} for value in values])


async def count(engine: Engine) -> int:
    async with engine.reading() as connection:
        return (await connection.execute(select(func.count()).select_from(numbers))).scalar_one()


async def test_the_end_of_the_block_commits(engine: Engine) -> None:
    async with engine.writing() as connection:
        await add(connection, 1, 2)
    assert await count(engine) == 2


async def test_a_block_that_raises_leaves_nothing(engine: Engine) -> None:
    async def write() -> None:
        async with engine.writing() as connection:
            await add(connection, 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await write()
    assert await count(engine) == 0


async def test_a_statement_that_fails_leaves_nothing(engine: Engine) -> None:
    async def write() -> None:
        async with engine.writing() as connection:
            await add(connection, 1)
            await add(connection, 1)

    with pytest.raises(HubError):
        await write()
    assert await count(engine) == 0


async def test_a_block_that_is_cancelled_leaves_nothing_and_keeps_no_connection(engine: Engine) -> None:
    """More often than the pool has connections: a lost one would keep the writers' lock, or the last call waiting."""
    for number in range(2 * POOL):
        written = asyncio.Event()

        async def write(number: int = number, written: asyncio.Event = written) -> None:
            async with engine.writing() as connection:
                await add(connection, number)
                written.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(write())
        await written.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    async with asyncio.timeout(10), engine.writing() as connection:
        await add(connection, 99)
    assert await count(engine) == 1


async def test_a_cancelled_wait_for_the_writers_lock_keeps_no_connection(engine: Engine) -> None:
    async def write() -> None:
        async with engine.writing() as connection:
            await add(connection, 5)

    async with engine.writing() as connection:
        waiting = [asyncio.create_task(write()) for _ in range(POOL - 1)]
        await asyncio.wait(waiting, timeout=0.05)
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        await add(connection, 1)
    async with asyncio.timeout(10):
        assert await count(engine) == 1
        await write()
    assert await count(engine) == 2


async def test_a_reader_sees_one_moment(engine: Engine) -> None:
    wanted = select(func.count()).select_from(numbers)
    async with engine.reading() as connection:
        assert (await connection.execute(wanted)).scalar_one() == 0
        async with engine.writing() as other:
            await other.exec_driver_sql("INSERT INTO numbers VALUES (1)")
        assert (await connection.execute(wanted)).scalar_one() == 0
    assert await count(engine) == 1


async def test_rows_stream_in_their_order_and_may_be_left_early(engine: Engine) -> None:
    async with engine.writing() as connection:
        await add(connection, *range(250))
    ordered = select(numbers.c.n).order_by(numbers.c.n)
    async with engine.reading() as connection:
        async with connection.stream(ordered) as rows:
            assert [row[0] async for row in rows] == list(range(250))
        async with connection.stream(ordered) as rows:
            assert (await anext(rows))[0] == 0
        assert (await connection.execute(select(func.count()).select_from(numbers))).scalar_one() == 250

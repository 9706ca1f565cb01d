"""When the database cannot be written: new holds are refused, settlements survive, and nothing is lost."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from relayhub.store.intents import Settled
from relayhub.store.store import Store
from relayhub.types.errors import ErrorKind, HubError
from tests.support.books import Books, open_books, record

SHORT_LOCK_WAIT_S = 0.05


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "books.db"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


async def refused(books: Books) -> HubError:
    with pytest.raises(HubError) as caught:
        await books.hold(10)
    return caught.value


async def test_while_another_process_holds_the_lock_new_calls_are_refused_and_can_retry(path: Path) -> None:
    async with open_books(path, lock_wait_s=SHORT_LOCK_WAIT_S) as books:
        with locked(path):
            error = await refused(books)
            assert (error.kind, error.code) == (ErrorKind.UNAVAILABLE, "store_unavailable")
            assert error.retry_after_s
        await books.hold(10)


async def test_settlements_wait_and_are_written_in_the_end(path: Path) -> None:
    async with open_books(path, lock_wait_s=SHORT_LOCK_WAIT_S) as books:
        hold = await books.hold(400)
        with locked(path):
            settling = books.store.ledger.settle(hold, record(cost_nano=150))
            await refused(books)
            assert not settling.done()
        assert await asyncio.wait_for(settling, 10) == Settled(150, 0)
        assert await books.store.ledger.check() == []


async def until_it_fails(store: Store) -> None:
    """A commit of a moment ago is proof enough, for that moment."""
    while True:
        await store.ping()
        await asyncio.sleep(0)


async def test_health_says_so_within_two_seconds(path: Path) -> None:
    async with open_books(path, lock_wait_s=SHORT_LOCK_WAIT_S) as books:
        await books.store.ping()
        with locked(path), pytest.raises(HubError):
            await asyncio.wait_for(until_it_fails(books.store), 3)
        async with asyncio.timeout(10):
            while True:
                try:
                    await books.store.ping()
                    break
                except HubError:
                    await asyncio.sleep(0)


async def test_a_short_lock_is_waited_for(path: Path) -> None:
    async with open_books(path) as books:
        with locked(path):
            holding = asyncio.create_task(books.hold(10))
            done, _ = await asyncio.wait({holding}, timeout=0.2)
            assert not done
        await asyncio.wait_for(holding, 10)


async def test_what_cannot_be_written_at_the_close_leaves_an_open_hold_for_the_next_process(path: Path) -> None:
    async with open_books(path, lock_wait_s=SHORT_LOCK_WAIT_S) as books:
        hold = await books.hold(400)
        with locked(path):
            settling = books.store.ledger.settle(hold, record(cost_nano=150))
            await books.store.close()
            with pytest.raises(HubError):
                await settling
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM holds").fetchone() == (1,)


async def test_an_item_that_the_database_refuses_can_be_settled_later(path: Path) -> None:
    async with open_books(path) as books:
        hold = await books.hold(10)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("CREATE TRIGGER stuck BEFORE INSERT ON usage BEGIN SELECT RAISE(FAIL, 'stuck'); END")
            settling = books.store.ledger.settle(hold, record(cost_nano=5))
            with pytest.raises(HubError):
                await settling
            other.execute("DROP TRIGGER stuck")
        assert await books.store.ledger.settle(hold, record(cost_nano=5)) == Settled(5, 0)
        assert await books.store.ledger.check() == []

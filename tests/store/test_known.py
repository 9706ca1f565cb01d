"""What the writer keeps in memory from one transaction to the next is what the database says, whoever else writes to it."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from msgspec.structs import replace

from relayhub.store.intents import Barrier, Settled
from relayhub.types.errors import ClientError, HubError
from relayhub.types.key_limits import KeyLimits
from tests.support.books import Books, open_books, record
from tests.support.limited import open_limited


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "books.db"


def beside(path: Path, statement: str, *values: object) -> None:
    """Written by somebody else."""
    with closing(sqlite3.connect(path, timeout=10)) as connection, connection:
        assert connection.execute(statement, values).rowcount == 1


@dataclass
class Overheard:
    """What the writer asks of the database, from some moment on."""

    asked: list[str] = field(default_factory=list)
    books: Books | None = None

    def on_step(self, name: str) -> None:
        if name == "before_begin" and self.books is not None:
            cursor = self.books.store._writer._cursor
            assert cursor is not None
            cursor.connection.set_trace_callback(self.asked.append)


async def test_a_call_reads_nothing_that_the_call_before_has_read(path: Path) -> None:
    overheard = Overheard()
    async with open_books(path, on_step=overheard.on_step) as books:
        for call in range(2):
            await books.store.ledger.settle(await books.hold(10), record(cost_nano=10))
            if call == 0:
                overheard.books = books
        asked = [" ".join(text.split()[:3]) for text in overheard.asked]
        assert await books.store.ledger.check() == []
    assert asked.count("INSERT OR FAIL") == 4  # a hold and its ledger row, a ledger row and a usage row
    assert not [text for text in asked if text.startswith("SELECT")]


@pytest.mark.parametrize(
    ("statement", "left"),
    [
        ("UPDATE accounts SET total_nano = 500", 390),
        ("UPDATE keys SET limit_nano = 300", 190),
        ("UPDATE keys SET held_nano = 900, limit_nano = 1000", 90),
    ],
)
async def test_what_others_write_counts_in_the_next_transaction(path: Path, statement: str, left: int) -> None:
    async with open_books(path) as books:
        await books.store.ledger.settle(await books.hold(10), record(cost_nano=10))
        await books.hold(100)
        beside(path, statement)
        with pytest.raises(ClientError):
            await books.hold(left + 1)
        await books.hold(left)


async def test_a_hold_that_somebody_else_ended_is_not_ended_again(path: Path) -> None:
    async with open_books(path) as books:
        hold = await books.hold(400)
        beside(path, "DELETE FROM holds WHERE hold_id = ?", hold)
        assert await books.store.ledger.settle(hold, record(cost_nano=150)) == Settled(0, 0, ended_before=True)


async def test_a_count_that_somebody_else_raised_is_the_one_that_counts(path: Path) -> None:
    async with open_limited(path, KeyLimits(requests_per_minute=10)) as key:
        await key.call()
        beside(path, "UPDATE key_windows SET amount = 9")
        await key.call()
        assert await key.refused() is not None


async def test_what_was_decided_in_a_transaction_that_failed_never_was(path: Path) -> None:
    """Nobody else writes meanwhile, so nothing but the failure itself can make the writer read again."""
    async with open_books(path, total=1000) as books:
        await books.hold(100)
        with pytest.raises(HubError):
            await books.hold(900, "\ud800")
        await books.hold(900)
        assert await books.money() == (1000, 0, 1000)
        assert await books.store.ledger.check() == []


async def test_slots_and_counts_of_a_transaction_that_failed_are_free(path: Path) -> None:
    limits = KeyLimits(requests_per_minute=2, concurrent_calls=2)
    async with open_limited(path, limits) as key:
        await key.call()
        with pytest.raises(HubError):
            await key.store.ledger.hold(replace(key.new(10), call_id="\ud800"))
        await key.call()
        assert await key.refused() is not None


async def test_a_writer_that_sleeps_hears_of_each_item(path: Path) -> None:
    """One after the other, each while it falls asleep or is about to."""
    async with open_books(path) as books:
        async with asyncio.timeout(30):
            for _ in range(3000):
                await books.store._writer.submit(Barrier())

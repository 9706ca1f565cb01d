"""What waits for the disk: whatever somebody is told. A hold alone does not; the disk has it soon after."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from relayhub.store import syncing
from relayhub.store.durability import Durability
from relayhub.store.store import Store
from tests.support.books import Books, open_books, record

LONG_S = 600.0
"""Nobody would wait for it to be over."""


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relayhub.store.writer.BEHIND_S", LONG_S)


@dataclass
class Commits:
    """What each commit waited for, as the connection says, in the writer's thread: 1 = for the process, 2 = for the disk."""

    store: Store | None = None
    levels: list[int] = field(default_factory=list)

    def on_step(self, name: str) -> None:
        if name == "before_commit" and self.store is not None:
            cursor = self.store._writer._cursor
            assert cursor is not None
            self.levels.append(cursor.connection.execute("PRAGMA synchronous").fetchone()[0])

    def seen(self) -> list[int]:
        levels, self.levels = self.levels, []
        return levels


async def settle(books: Books, hold: int, call_id: str) -> None:
    await books.store.ledger.settle(hold, record(call_id, cost_nano=5))


async def test_a_hold_alone_waits_for_no_disk_and_everything_else_does(tmp_path: Path) -> None:
    commits = Commits()
    async with open_books(tmp_path / "books.db", durability="power", on_step=commits.on_step) as books:
        commits.store = books.store
        first, second = await books.hold(10, "req_1"), await books.hold(10, "req_2")
        assert commits.seen() == [1, 1]
        await settle(books, first, "req_1")
        assert commits.seen() == [2]
        third = await books.hold(10, "req_3")
        await books.store.ledger.release(second, None)
        assert commits.seen() == [1, 2]
        await books.store.ledger.grant(books.account_id, 5, actor="test", reason="more")
        await settle(books, third, "req_3")
        assert commits.seen() == [2, 2]


async def test_a_hold_beside_a_settlement_waits_with_it(tmp_path: Path) -> None:
    commits = Commits()
    async with open_books(tmp_path / "books.db", durability="power", on_step=commits.on_step) as books:
        hold = await books.hold(10, "req_1")
        commits.store = books.store
        await asyncio.gather(settle(books, hold, "req_1"), *(books.hold(10, f"req_{n}") for n in range(2, 9)))
        levels = commits.seen()
        assert levels[0] == 2
        assert len(levels) <= 2  # the first alone, or all of them


async def test_where_only_the_process_matters_jobs_and_top_ups_still_wait(tmp_path: Path) -> None:
    commits = Commits()
    async with open_books(tmp_path / "books.db", durability="process", on_step=commits.on_step) as books:
        commits.store = books.store
        hold = await books.hold(10, "req_1")
        await settle(books, hold, "req_1")
        await books.store.ledger.grant(books.account_id, 5, actor="test", reason="more")
        await books.hold(10, "req_2")
        assert commits.seen() == [1, 1, 2, 1]
        assert not books.store._writer._syncing.behind


@dataclass
class Synced:
    """The files that were synced, and an error for the next one."""

    files: list[tuple[int, int]] = field(default_factory=list)
    failing: bool = False
    happened: asyncio.Event = field(default_factory=asyncio.Event)
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)

    def fsync(self, file: int) -> None:
        status = os.fstat(file)
        self.files.append((status.st_dev, status.st_ino))
        self.loop.call_soon_threadsafe(self.happened.set)
        if self.failing:
            raise OSError(5, "Input/output error")
        REAL_FSYNC(file)


REAL_FSYNC = os.fsync


def log_of(path: Path) -> tuple[int, int]:
    status = Path(f"{path}-wal").stat()
    return status.st_dev, status.st_ino


async def test_if_nothing_follows_the_disk_has_it_soon_and_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relayhub.store.writer.BEHIND_S", 0.01)
    path = tmp_path / "books.db"
    async with open_books(path, durability="power") as books, asyncio.timeout(30):
        synced = Synced()
        monkeypatch.setattr(syncing.os, "fsync", synced.fsync)
        hold = await books.hold(10, "req_1")
        await synced.happened.wait()
        assert synced.files == [log_of(path)]
        await settle(books, hold, "req_1")
        assert not books.store._writer._syncing.behind  # so there is nothing more to sync
        assert synced.files == [log_of(path)]


async def test_a_settlement_takes_the_holds_before_it_along(tmp_path: Path) -> None:
    async with open_books(tmp_path / "books.db", durability="power") as books:
        hold = await books.hold(10, "req_1")
        assert books.store._writer._syncing.behind
        await settle(books, hold, "req_1")
        assert not books.store._writer._syncing.behind


async def test_a_disk_that_refuses_is_told_and_until_a_commit_has_reached_it_nothing_is_put_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relayhub.store.writer.BEHIND_S", 0.01)
    commits = Commits()
    async with (
        open_books(tmp_path / "books.db", durability="power", on_step=commits.on_step) as books,
        asyncio.timeout(30),
    ):
        monkeypatch.setattr(syncing.os, "fsync", Synced(failing=True).fsync)
        await books.hold(10, "req_1")
        while books.store._writer.failing is None:
            await asyncio.sleep(0)
        assert "Input/output error" in str(books.store._writer.failing)
        commits.store = books.store
        await books.hold(10, "req_2")
        assert commits.seen() == [2]
        assert books.store._writer.failing is None
        await books.store.ping()


def test_a_log_that_has_been_taken_into_the_database_needs_no_sync(tmp_path: Path) -> None:
    lag = syncing.Syncing(tmp_path / "books.db", Durability.POWER)
    lag.catch_up()
    assert not lag.behind

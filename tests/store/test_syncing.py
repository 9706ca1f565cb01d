"""What waits for the disk: whatever somebody is told. A hold alone does not; the disk has it soon after."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from relayhub.store import syncing
from relayhub.store.store import Store
from relayhub.types.errors import ClientError, HubError
from tests.support.books import Books, open_books, record

LONG_S = 600.0
"""Nobody would wait for it to be over."""


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relayhub.store.syncing.BEHIND_S", LONG_S)


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


def left_s(books: Books) -> float | None:
    return books.store._writer._syncing.left_s()


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
        assert left_s(books) is None


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
    monkeypatch.setattr("relayhub.store.syncing.BEHIND_S", 0.01)
    path = tmp_path / "books.db"
    async with open_books(path, durability="power") as books, asyncio.timeout(30):
        synced = Synced()
        monkeypatch.setattr(syncing.os, "fsync", synced.fsync)
        hold = await books.hold(10, "req_1")
        await synced.happened.wait()
        assert synced.files == [log_of(path)]
        await settle(books, hold, "req_1")
        assert left_s(books) is None  # so there is nothing more to sync
        assert synced.files == [log_of(path)]


async def test_a_settlement_takes_the_holds_before_it_along(tmp_path: Path) -> None:
    async with open_books(tmp_path / "books.db", durability="power") as books:
        hold = await books.hold(10, "req_1")
        assert left_s(books) is not None
        await settle(books, hold, "req_1")
        assert left_s(books) is None


async def test_a_disk_that_refuses_is_told_and_until_a_commit_has_reached_it_nothing_is_put_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relayhub.store.syncing.BEHIND_S", 0.01)
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


async def test_holds_that_follow_each_other_are_not_put_off_for_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits = Commits()
    async with open_books(tmp_path / "books.db", durability="power", on_step=commits.on_step) as books:
        commits.store = books.store
        await books.hold(10, "req_1")
        monkeypatch.setattr(syncing, "BEHIND_S", 0.0)
        await books.hold(10, "req_2")
        assert commits.seen() == [1, 2]
        assert left_s(books) is None


async def test_a_transaction_that_writes_nothing_brings_nothing_to_the_disk(tmp_path: Path) -> None:
    async with open_books(tmp_path / "books.db", total=100, durability="power") as books:
        await books.hold(10, "req_1")
        with pytest.raises(ClientError):
            await books.store.ledger.adjust(books.account_id, -1000, actor="test", reason="too much")
        assert left_s(books) is not None


async def test_a_transaction_that_writes_nothing_does_not_prove_that_the_disk_works(tmp_path: Path) -> None:
    async with open_books(tmp_path / "books.db", total=100, durability="power") as books:
        books.store._writer._failing = "told by somebody"
        with pytest.raises(ClientError):
            await books.store.ledger.adjust(books.account_id, -1000, actor="test", reason="too much")
        assert books.store._writer.failing == "told by somebody"
        await books.hold(10, "req_1")
        assert books.store._writer.failing is None


async def test_after_a_failed_sync_the_log_is_taken_into_the_database_before_anything_is_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind what the disk may have lost nothing would be found after a loss of power."""
    path = tmp_path / "books.db"
    async with open_books(path, durability="power", lock_wait_s=0.1) as books, asyncio.timeout(30):
        monkeypatch.setattr(syncing.os, "fsync", Synced(failing=True).fsync)
        monkeypatch.setattr(syncing, "BEHIND_S", 0.01)
        before = await books.hold(10, "req_1")
        while books.store._writer.failing is None:
            await asyncio.sleep(0)
        with closing(sqlite3.connect(path, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM holds").fetchone()
            with pytest.raises(HubError):
                await books.hold(10, "req_2")
        await settle(books, before, "req_1")
        log = Path(f"{path}-wal").read_bytes()
        assert len(log) < 20 * 4096, "the log was begun anew"
        assert await books.store.ledger.check() == []


async def test_a_disk_that_fails_in_a_commit_is_distrusted_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_books(tmp_path / "books.db", durability="power") as books:
        hold = await books.hold(10, "req_1")
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
        failing = [error]

        def on_step(name: str) -> None:
            if name == "before_commit" and failing:
                assert not books.store._writer._syncing._doubtful
                raise failing.pop()
            if name == "before_begin" and not failing:
                emptied.append(Path(f"{tmp_path}/books.db-wal").stat().st_size)

        emptied: list[int] = []
        monkeypatch.setattr(books.store._writer, "_step", on_step)
        await settle(books, hold, "req_1")
        assert emptied[:1] == [0]
        assert await books.store.ledger.check() == []

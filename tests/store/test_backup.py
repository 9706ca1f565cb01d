"""Copies of a database in use, proofs of them, and putting one back."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

from relayhub.store import backup_restore, rotation
from relayhub.store.audit import Actor, AuditFilter
from relayhub.store.backup import back_up
from relayhub.store.backup_proof import prove
from relayhub.store.backup_restore import Restored, restore
from relayhub.store.errors import StoreError
from relayhub.store.kept_turns import KEPT_S, KeptTurn
from relayhub.store.key_file import key_path
from relayhub.store.migrate import SCRIPTS
from relayhub.store.store import Store
from relayhub.store.vault import Vault
from relayhub.testing import FakeClock
from tests.support.books import Books, open_books, record

ME = Actor("cli:tester")
NOW = FakeClock().now()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "live").mkdir()
    return tmp_path / "live" / "hub.db"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    (tmp_path / "backups").mkdir()
    return tmp_path / "backups" / "b.db"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    return tmp_path / "elsewhere" / "hub.db"


async def some_calls(books: Books, first: int, number: int) -> None:
    for at in range(first, first + number):
        await books.store.ledger.settle(await books.hold(10, f"req_{at}"), record(f"req_{at}", cost_nano=3))


async def restored(copy: Path, database: Path, *, force: bool = False) -> Restored:
    return await restore(copy, database, force=force, now=NOW, actor=ME)


def rows(database: Path, statement: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return connection.execute(statement).fetchall()


async def test_a_backup_of_a_store_in_use_is_of_one_moment_and_sound(path: Path, copy: Path) -> None:
    async with open_books(path, total=10_000) as books:
        await some_calls(books, 0, 5)
        open_hold = await books.hold(40, "req_open")
        begun = asyncio.Event()

        def on_progress(_done: int, _all: int) -> None:
            loop.call_soon_threadsafe(begun.set)

        loop = asyncio.get_running_loop()
        backing_up = asyncio.create_task(back_up(path, copy, replace=False, now=NOW, on_progress=on_progress))
        await begun.wait()
        await some_calls(books, 100, 5)
        proof = await backing_up
        assert proof.sound
        assert proof.newest_at is not None
        assert proof.counts["accounts"] == proof.counts["keys"] == 1
        assert proof.counts["open_holds"] == 1
        await books.store.ledger.settle(open_hold, record("req_open"))
    assert [file.name for file in copy.parent.iterdir()] == ["b.db"]
    assert copy.stat().st_mode & 0o777 == 0o600
    assert (await prove(copy, None, NOW)).counts == proof.counts


def fill(path: Path, megabytes: int) -> None:
    """So that a copy takes several steps."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE ballast (bytes BLOB)")
        connection.executemany("INSERT INTO ballast VALUES (zeroblob(1048576))", [()] * megabytes)


async def test_what_is_written_during_the_copy_neither_waits_nor_begins_it_anew(path: Path, copy: Path) -> None:
    async with open_books(path, total=10_000) as books:
        await some_calls(books, 0, 3)
        fill(path, 8)
        loop, seen = asyncio.get_running_loop(), []

        def on_progress(done: int, _all: int) -> None:
            """Each step waits for a call that was made meanwhile: a copy that blocked it would never end."""
            seen.append(done)
            asyncio.run_coroutine_threadsafe(some_calls(books, 100 * len(seen), 1), loop).result(10)

        proof = await back_up(path, copy, replace=False, now=NOW, on_progress=on_progress)
        assert seen == sorted(set(seen)), "pages are copied once"
        assert len(seen) >= 8
        assert proof.counts["usage_rows"] == 3
        assert proof.sound


async def test_restored_elsewhere_it_has_the_same_books_and_frees_what_was_held(
    path: Path, copy: Path, elsewhere: Path
) -> None:
    """The process that held it is still alive here: its pid must mean nothing to the copy."""
    async with open_books(path) as books:
        await some_calls(books, 0, 3)
        await books.hold(400, "req_open")
        await back_up(path, copy, replace=False, now=NOW)
        await restored(copy, elsewhere)
        store = await Store.open(elsewhere, clock=FakeClock())
        try:
            assert await store.ledger.check() == []
            balance = (await store.accounts.get(books.account_id)).balance
            assert (balance.total_nano, balance.used_nano, balance.held_nano) == (1000, 9, 0)
        finally:
            await store.close()
        assert await books.money() == (1000, 9, 400), "the first one is as it was"
    usage = "SELECT call_id, outcome, cost_nano FROM usage ORDER BY call_id"
    assert [row for row in rows(elsewhere, usage) if row[1] != "lost"] == rows(copy, usage)
    assert rows(elsewhere, "SELECT call_id FROM usage WHERE outcome = 'lost'") == [("req_open",)]


async def test_nobody_stays_signed_in_and_the_audit_log_knows(path: Path, copy: Path, elsewhere: Path) -> None:
    async with open_books(path) as books:
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(
                "INSERT INTO people (id, name, role, password_hash, password_at, created_at) "
                "VALUES ('p', 'p', 'admin', 'x', 1, 1)"
            )
            connection.execute(
                "INSERT INTO sessions (id, hash, person_id, created_at, seen_at, expires_at) "
                "VALUES ('s', 'h', 'p', 1, 1, 9e9)"
            )
        await back_up(path, copy, replace=False, now=NOW)
        assert rows(path, "SELECT count(*) FROM sessions") == [(1,)]
        assert await books.store.ledger.check() == []
    await restored(copy, elsewhere)
    assert rows(elsewhere, "SELECT count(*) FROM sessions") == [(0,)]
    store = await Store.open(elsewhere, clock=FakeClock())
    (row,) = await store.audit.rows(AuditFilter(action="store.restore"), 10)
    assert row.actor == ME.name
    assert await store.audit.first_broken() is None
    await store.close()


async def test_a_name_that_is_taken_is_left_alone_unless_forced(path: Path, copy: Path) -> None:
    async with open_books(path):
        copy.write_text("mine")
        with pytest.raises(StoreError, match="--force"):
            await back_up(path, copy, replace=False, now=NOW)
        assert copy.read_text() == "mine"
        assert (await back_up(path, copy, replace=True, now=NOW)).sound
        for own in (path, key_path(path), path.with_name("hub.db-wal")):
            with pytest.raises(StoreError, match="in use"):
                await back_up(path, own, replace=True, now=NOW)
    assert [file.name for file in copy.parent.iterdir()] == ["b.db"]


async def test_a_folder_that_cannot_be_written_is_a_plain_error(path: Path, tmp_path: Path) -> None:
    async with open_books(path):
        with pytest.raises(StoreError, match="cannot be written"):
            await back_up(path, tmp_path / "nowhere" / "b.db", replace=False, now=NOW)


async def test_a_database_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no database"):
        await back_up(tmp_path / "hub.db", tmp_path / "b.db", replace=False, now=NOW)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("where", ["copying", "naming"])
async def test_a_killed_backup_leaves_nothing_under_the_name_and_the_next_one_works(
    path: Path, copy: Path, where: str
) -> None:
    async with open_books(path):
        fill(path, 3)
        copy.write_text("the last good backup")
        child = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("backup_child.py")), str(path), str(copy), where],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with child:
            assert child.stdout is not None
            assert await asyncio.to_thread(child.stdout.readline) == f"{where}\n"
            with pytest.raises(StoreError, match="another process writes this file"):
                await back_up(path, copy, replace=True, now=NOW)
            child.kill()
        assert copy.read_text() == "the last good backup"
        assert [file.name for file in copy.parent.iterdir() if file.name != "b.db"] == ["b.db.part"]
        assert (await back_up(path, copy, replace=True, now=NOW)).sound
    assert [file.name for file in copy.parent.iterdir()] == ["b.db"]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut short": lambda content: content[: len(content) // 2],
    "empty": lambda _content: b"",
    "something else": lambda _content: b"PK\x03\x04" * 1000,
    "a page of noise": lambda content: content[:8192] + bytes(range(256)) * 16 + content[12288:],
    "the head is gone": lambda content: bytes(100) + content[100:],
}


@pytest.mark.parametrize("name", DAMAGES)
async def test_a_damaged_backup_is_refused_and_nothing_is_touched(
    path: Path, copy: Path, elsewhere: Path, name: str
) -> None:
    async with open_books(path) as books:
        await some_calls(books, 0, 5)
        await back_up(path, copy, replace=False, now=NOW)
    before = path.read_bytes()
    copy.write_bytes(DAMAGES[name](copy.read_bytes()))
    damaged = copy.read_bytes()
    for database in (path, elsewhere):
        with pytest.raises(StoreError, match=r"damaged|no database of relayhub"):
            await restored(copy, database, force=True)
    assert path.read_bytes() == before
    assert not elsewhere.exists()
    assert copy.read_bytes() == damaged


async def test_an_altered_backup_is_doubted(path: Path, copy: Path, elsewhere: Path) -> None:
    async with open_books(path) as books:
        await some_calls(books, 0, 2)
        await back_up(path, copy, replace=False, now=NOW)
    with closing(sqlite3.connect(copy)) as connection, connection:
        connection.execute("UPDATE accounts SET total_nano = total_nano + 5")
    proof = await prove(copy, None, NOW)
    assert not proof.sound
    assert "total = grants" in proof.doubts[0]
    with pytest.raises(StoreError, match="total = grants"):
        await restored(copy, elsewhere)
    assert not elsewhere.exists()
    assert not (await restored(copy, elsewhere, force=True)).proof.sound


async def test_a_backup_needs_the_keys_of_its_vault(path: Path, copy: Path, elsewhere: Path) -> None:
    async with open_books(path) as books:
        await books.store.kept_turns.keep("a", [KeptTurn("call:1", "p", b"x")], NOW)
        assert (await back_up(path, copy, replace=False, now=NOW)).sealed == 1
    assert (await prove(copy, Vault.opening(path), NOW)).sound
    assert not (await prove(copy, Vault.opening(elsewhere), NOW)).sound
    with pytest.raises(StoreError, match="restore the key file"):
        await restored(copy, elsewhere)
    assert (await prove(copy, None, NOW + KEPT_S + 1)).sound, "what it was for has expired"
    elsewhere.parent.mkdir(exist_ok=True)
    shutil.copy(key_path(path), key_path(elsewhere))
    assert (await restored(copy, elsewhere)).proof.sound
    rotation.add_key(elsewhere, NOW, ME)
    rotation.reseal(elsewhere)
    rotation.retire(elsewhere, NOW + 100, ME)
    assert not (await prove(copy, Vault.opening(elsewhere), NOW)).sound, "its key was retired there"


async def test_a_proof_leaves_no_trace(path: Path, copy: Path) -> None:
    async with open_books(path) as books:
        await some_calls(books, 0, 2)
        await back_up(path, copy, replace=False, now=NOW)
    copy.chmod(0o400)
    copy.parent.chmod(0o500)
    content, changed_at = copy.read_bytes(), copy.stat().st_mtime_ns
    await prove(copy, None, NOW)
    copy.parent.chmod(0o700)
    assert (copy.read_bytes(), copy.stat().st_mtime_ns) == (content, changed_at)
    assert [file.name for file in copy.parent.iterdir()] == ["b.db"]


def make_first_revision(path: Path) -> None:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    config.set_main_option("path_separator", "os")
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    engine.dispose()


async def test_a_backup_of_an_older_release_is_proved_too(copy: Path, elsewhere: Path) -> None:
    make_first_revision(copy)
    proof = await prove(copy, None, NOW)
    assert (proof.revision, proof.sound) == ("0001", True)
    await restored(copy, elsewhere)
    store = await Store.open(elsewhere, clock=FakeClock())
    assert await store.ledger.check() == []
    await store.close()


async def test_one_of_a_newer_release_is_refused(path: Path, copy: Path, elsewhere: Path) -> None:
    async with open_books(path):
        await back_up(path, copy, replace=False, now=NOW)
    with closing(sqlite3.connect(copy)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreError, match="newer relayhub"):
        await restored(copy, elsewhere)


async def test_a_database_in_use_is_no_backup(path: Path, elsewhere: Path) -> None:
    async with open_books(path):
        with pytest.raises(StoreError, match="in use"):
            await restored(path, elsewhere)
    assert not elsewhere.exists()


async def test_a_database_in_use_is_never_replaced(path: Path, copy: Path) -> None:
    async with open_books(path):
        await back_up(path, copy, replace=False, now=NOW)
        child = subprocess.run(
            [sys.executable, "-c", RESTORE, str(copy), str(path)], capture_output=True, text=True, check=False
        )
        assert "has this database open" in child.stderr
    await restored(copy, path, force=True)


RESTORE = """
import asyncio, sys
from pathlib import Path
from relayhub.store.audit import Actor
from relayhub.store.backup_restore import restore
asyncio.run(restore(Path(sys.argv[1]), Path(sys.argv[2]), force=True, now=1.0, actor=Actor("cli:x")))
"""


async def test_what_was_there_before_is_kept_with_everything_that_its_log_held(path: Path, copy: Path) -> None:
    async with open_books(path) as books:
        await back_up(path, copy, replace=False, now=NOW)
        await some_calls(books, 0, 4)
        crashed = path.with_name("crashed.db")
        for suffix in ("", "-wal"):  # as a killed process leaves it
            shutil.copy(f"{path}{suffix}", f"{crashed}{suffix}")
    key_path(crashed).write_bytes(key_path(path).read_bytes())
    key_path(crashed).chmod(0o600)
    assert Path(f"{crashed}-wal").stat().st_size > 0
    with pytest.raises(StoreError, match="--force"):
        await restored(copy, crashed)
    kept = (await restored(copy, crashed, force=True)).kept
    assert kept is not None
    assert rows(kept, "SELECT count(*) FROM usage") == [(4,)]
    assert rows(crashed, "SELECT count(*) FROM usage") == [(0,)]
    assert not Path(f"{crashed}-wal").exists()


async def test_a_log_without_its_database_does_not_get_into_the_restored_one(
    path: Path, copy: Path, elsewhere: Path
) -> None:
    async with open_books(path) as books:
        await back_up(path, copy, replace=False, now=NOW)
        await some_calls(books, 0, 4)
        elsewhere.parent.mkdir()
        shutil.copy(f"{path}-wal", f"{elsewhere}-wal")
        shutil.copy(f"{path}-shm", f"{elsewhere}-shm")
    await restored(copy, elsewhere)
    assert rows(elsewhere, "SELECT count(*) FROM usage") == [(0,)]


async def test_a_database_too_damaged_to_open_can_be_replaced(path: Path, copy: Path) -> None:
    async with open_books(path) as books:
        await some_calls(books, 0, 2)
        await back_up(path, copy, replace=False, now=NOW)
    path.write_bytes(b"noise" * 5000)
    Path(f"{path}-wal").write_bytes(b"noise" * 50)
    await restored(copy, path, force=True)
    store = await Store.open(path, clock=FakeClock())
    assert await store.ledger.check() == []
    await store.close()


async def test_a_restore_that_fails_leaves_the_database_as_it_was(
    path: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_books(path) as books:
        await back_up(path, copy, replace=False, now=NOW)
        await some_calls(books, 0, 2)

    def no_room(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(backup_restore, "put_in_place", no_room)
    with pytest.raises(StoreError, match="No space left"):
        await restored(copy, path, force=True)
    monkeypatch.undo()
    assert rows(path, "SELECT count(*) FROM usage") == [(2,)]
    assert not Path(f"{path}.part").exists()

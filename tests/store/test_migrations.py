"""The database is brought up to date once, after a copy, or left alone with a clear word."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import CheckConstraint, create_engine

from relayhub.store import migrate as migrating
from relayhub.store.connection import prepare_file, use_write_ahead_log
from relayhub.store.errors import StoreError
from relayhub.store.intents import LedgerKind
from relayhub.store.migrate import NEWEST, backup, current_revision, migrate
from relayhub.store.schema import APPEND_ONLY, ledger, metadata
from relayhub.store.store import Store
from relayhub.testing import FakeClock
from tests.support.books import record

NOW = 1_790_000_000.0
BOOKED = "account_id, hold_id, amount_nano"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "var" / "hub.db"
    prepare_file(path)
    use_write_ahead_log(path)
    return path


def test_the_migrations_build_what_the_schema_says(path: Path) -> None:
    migrate(path, NOW)
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()
    with closing(sqlite3.connect(path)) as connection:
        triggers = {row[0] for row in connection.execute("SELECT sql FROM sqlite_master WHERE type = 'trigger'")}
    assert triggers == set(APPEND_ONLY)


def test_the_newest_revision_is_the_one_the_code_names(path: Path) -> None:
    files = sorted(file.name for file in (migrating.SCRIPTS / "versions").glob("v*.py"))
    assert files[-1].startswith(f"v{NEWEST}_")
    migrate(path, NOW)
    assert current_revision(path) == NEWEST


def test_migrating_twice_changes_nothing(path: Path) -> None:
    migrate(path, NOW)
    before = path.read_bytes()
    migrate(path, NOW)
    assert path.read_bytes() == before
    assert list(path.parent.glob("*.backup-*")) == []


def test_a_database_of_somebody_else_is_not_touched(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE theirs (a)")
    with pytest.raises(StoreError, match="another program"):
        migrate(path, NOW)


def test_a_newer_database_is_refused_with_what_to_do(path: Path) -> None:
    migrate(path, NOW)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '0999'")
    with pytest.raises(StoreError, match=r"newer relayhub \(revision 0999.*restore a backup"):
        migrate(path, NOW)


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.write_bytes(b"this is not a database at all" * 100)
    with pytest.raises(StoreError, match="cannot be read"):
        migrate(path, NOW)


def test_backups_are_private_consistent_and_few(path: Path) -> None:
    migrate(path, NOW)
    copies = [backup(path, "0001", NOW + n * 60) for n in range(5)]
    kept = sorted(path.parent.glob("*.backup-*"))
    assert kept == copies[-3:]
    assert stat.S_IMODE(kept[0].stat().st_mode) == 0o600
    with closing(sqlite3.connect(kept[0])) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == (NEWEST,)


def test_a_copy_that_fails_leaves_no_part_of_it(path: Path) -> None:
    path.write_bytes(b"this is not a database at all" * 100)
    with pytest.raises(sqlite3.DatabaseError):
        backup(path, "0001", NOW)
    assert list(path.parent.glob("*.backup-*")) == []


def test_a_database_that_others_keep_locked_is_left_alone_with_a_word(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade_to(path, "0010")
    monkeypatch.setattr(migrating, "LOCK_WAIT_S", 0.0)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="as it was: database is locked"):
            migrate(path, NOW)
    assert current_revision(path) == "0010"


READER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("SELECT count(*) FROM accounts").fetchall()
print("open", flush=True)
sys.stdin.read()
"""


@contextmanager
def opened_elsewhere(path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process of a release from before that has the database open, and does nothing with it."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", READER, str(path)], stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        yield other


def test_a_database_that_an_older_server_has_open_is_not_changed_under_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    books_from_before(path)
    monkeypatch.setattr(migrating, "LOCK_WAIT_S", 0.2)
    with opened_elsewhere(path):
        with pytest.raises(StoreError, match=f"stop it first.* from revision 0010 to {NEWEST}"):
            migrate(path, NOW)
        assert current_revision(path) == "0010"
    migrate(path, NOW)
    assert current_revision(path) == NEWEST


def test_an_update_waits_for_who_is_just_leaving(path: Path) -> None:
    books_from_before(path)
    with opened_elsewhere(path) as other:
        assert other.stdin is not None
        timer = threading.Timer(0.2, other.stdin.close)
        timer.start()
        migrate(path, NOW)
        timer.join()
    assert current_revision(path) == NEWEST


def test_an_update_without_room_changes_nothing_and_says_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    books_from_before(path)
    connected = sqlite3.connect

    def cramped(*where: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connected(*where, **options)
        connection.execute("PRAGMA max_page_count = 1")  # no more than there are
        return connection

    before = tables_of(path)
    with monkeypatch.context() as patch:
        patch.setattr(migrating, "backup", lambda *_: None)
        patch.setattr(sqlite3, "connect", cramped)
        with pytest.raises(StoreError, match=r"as it was: .*full"):
            migrate(path, NOW)
    assert tables_of(path) == before
    assert current_revision(path) == "0010"


def tables_of(path: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT * FROM sqlite_master").fetchall()


def test_the_file_and_its_folder_are_the_owners_alone(path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def upgrade_to(path: Path, revision: str) -> None:
    with migrating._exclusive(path) as connection:
        config = Config()
        config.set_main_option("script_location", str(migrating.SCRIPTS))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def test_a_ledger_from_before_keeps_its_rows_and_takes_the_same_kinds(path: Path) -> None:
    upgrade_to(path, "0009")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "INSERT INTO accounts (id, name, unlimited, total_nano, used_nano, held_nano, created_at)"
            " VALUES ('acct', 'acme', 0, 5, 0, 0, 1)"
        )
        connection.execute("INSERT INTO ledger (at, kind, account_id, amount_nano) VALUES (1, 'grant', 'acct', 5)")
        before = connection.execute("SELECT * FROM ledger").fetchall()
    with closing(sqlite3.connect(path, isolation_level=None)) as connected_before:
        connected_before.execute("SELECT * FROM ledger").fetchall()
        upgrade_to(path, "0010")
        for number, kind in enumerate(LedgerKind):
            row = (1, kind.value, "acct", f"hold {number}", 0)
            connected_before.execute(f"INSERT INTO ledger (at, kind, {BOOKED}) VALUES (?, ?, ?, ?, ?)", row)
        with pytest.raises(sqlite3.IntegrityError, match="ck_ledger_kind"):
            connected_before.execute(f"INSERT INTO ledger (at, kind, {BOOKED}) VALUES (1, 'gift', 'acct', 'hold', 0)")
        assert connected_before.execute("SELECT * FROM ledger LIMIT 1").fetchall() == before
        assert connected_before.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connected_before.execute("PRAGMA foreign_key_check").fetchall() == []


FROM_BEFORE = """
INSERT INTO accounts (id, name, unlimited, total_nano, used_nano, held_nano, created_at)
  VALUES ('a', 'acme', 0, 900, 150, 70, 1);
INSERT INTO keys (id, account_id, name, hash, hint, used_nano, held_nano, created_at, revision)
  VALUES ('k', 'a', 'key', 'h', 'h', 150, 70, 1, 1);
INSERT INTO ledger (at, kind, account_id, key_id, hold_id, call_id, amount_nano) VALUES
  (1, 'grant', 'a', NULL, NULL, NULL, 900), (2, 'hold', 'a', 'k', 'hold_Z', 'req_1', 400),
  (3, 'hold', 'a', 'k', 'hold_A', 'req_2', 30), (4, 'hold', 'a', 'k', 'hold_M', 'req_3', 60),
  (5, 'release', 'a', 'k', 'hold_A', 'req_2', 30), (6, 'settlement', 'a', 'k', 'hold_Z', 'req_1', 150),
  (7, 'hold', 'a', 'k', 'hold_B', 'req_4', 10);
INSERT INTO epochs (id, host, boot_id, pid, started, lease_until) VALUES ('e', 'h', 'b', 1, 's', 9);
INSERT INTO holds (hold_id, call_id, account_id, key_id, amount_nano, epoch_id, created_at, about, tokens) VALUES
  ('hold_M', 'req_3', 'a', 'k', 60, 'jobs', 4, '{}', 0), ('hold_B', 'req_4', 'a', 'k', 10, 'e', 7,
   '{"operation":"chat","dialect":"d","model":"m","provider":"p","upstream_model":"m","stream":false}', 5);
"""
USAGE_BEFORE = """
INSERT INTO usage (hold_id, call_id, at, account_id, key_id, operation, dialect, model, provider, upstream_model, stream,
  outcome, measured, input_tokens, output_tokens, cached_tokens, cache_write_tokens, reasoning_tokens, cost_nano,
  shortfall_nano, price, attempts, duration_ms, media)
  SELECT ?, ?, ?, 'a', 'k', 'chat', 'd', 'm', 'p', 'm', 0, 'completed', 1, 1, 1, 0, 0, 0, ?, 0, 'free', 1, 1, ?
"""
JOB_BEFORE = """
INSERT INTO jobs (id, call_id, hold_id, kind, dialect, account_id, key_id, model, provider, upstream_model, price, rates,
  state,
  progress, usage, handle, attempts, poll_errors, missing, created_at, next_at, lease_until, revision)
  VALUES ('task', 'req_3', 'hold_M', 'video', 'd', 'a', 'k', 'm', 'p', 'm', 'free', '{}', 'queued', 0, '{}', '{}', 1, 0, 0, 4,
  4, 9, 1)
"""


def books_from_before(path: Path) -> None:
    upgrade_to(path, "0010")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(FROM_BEFORE)
        connection.execute(USAGE_BEFORE, ("hold_A", "req_2", 5.0, 0, None))
        connection.execute(USAGE_BEFORE, ("hold_Z", "req_1", 6.0, 150, '{"images":2}'))
        connection.execute(JOB_BEFORE)


async def test_holds_that_had_texts_for_names_are_numbered(path: Path) -> None:
    """By the ledger rows that began them; usage by those that ended them. Nothing else changes, and the books stay exact."""
    books_from_before(path)
    with closing(sqlite3.connect(path)) as connection:
        before = [connection.execute(f"SELECT * FROM {table}").fetchone()[3:] for table in ("holds", "jobs")]
    migrate(path, NOW)
    with closing(sqlite3.connect(path)) as connection:

        def ask(statement: str) -> list[tuple[object, ...]]:
            return connection.execute(statement).fetchall()

        assert ask("SELECT id, kind, hold_id FROM ledger WHERE hold_id IS NOT NULL") == [
            (2, "hold", 2),
            (3, "hold", 3),
            (4, "hold", 4),
            (5, "release", 3),
            (6, "settlement", 2),
            (7, "hold", 7),
        ]
        assert ask("SELECT id, call_id, at, cost_nano, media FROM usage ORDER BY id") == [
            (5, "req_2", 5.0, 0, None),
            (6, "req_1", 6.0, 150, '{"images":2}'),
        ]
        assert ask("SELECT hold_id, call_id, tokens FROM holds") == [(4, "req_3", 0), (7, "req_4", 5)]
        assert ask("SELECT id, hold_id FROM jobs") == [("task", 4)]
        assert [ask(f"SELECT * FROM {table}")[0][3:] for table in ("holds", "jobs")] == before
        assert ask("PRAGMA integrity_check") == [("ok",)]
        assert ask("PRAGMA foreign_key_check") == []
        assert {
            kind for (kind,) in ask("SELECT typeof(hold_id) FROM jobs UNION SELECT typeof(hold_id) FROM ledger")
        } == {
            "integer",
            "null",
        }
    store = await Store.open(path, durability="process", clock=FakeClock())
    try:
        assert await store.ledger.check() == []
        assert (await store.ledger.settle(4, record(cost_nano=60))).charged_nano == 60
        assert await store.ledger.check() == []
    finally:
        await store.close()


@pytest.mark.parametrize("lost", ["a", "b"])
def test_a_hold_that_the_ledger_does_not_know_is_not_given_a_number(path: Path, lost: str) -> None:
    books_from_before(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        if lost == "a":
            connection.execute("UPDATE holds SET hold_id = 'hold_?' WHERE hold_id = 'hold_M'")
        else:
            connection.execute(USAGE_BEFORE, ("hold_?", "req_9", 6.0, 0, None))
        before = connection.execute("SELECT * FROM sqlite_master").fetchall()
    with pytest.raises(StoreError, match=r"1 rows of .* not in the ledger"):
        migrate(path, NOW)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT * FROM sqlite_master").fetchall() == before
    assert current_revision(path) == "0010"


def test_a_hold_begins_with_the_row_that_names_it_and_ends_once(path: Path) -> None:
    books_from_before(path)
    migrate(path, NOW)
    row = "INSERT INTO ledger (id, at, kind, account_id, hold_id, amount_nano) VALUES (?, 1, ?, 'a', ?, 0)"
    with closing(sqlite3.connect(path)) as connection:
        for number, kind, hold, broken in (
            (8, "hold", 9, "ck_ledger_hold_begins"),
            (8, "release", 8, "ck_ledger_hold_begins"),
            (8, "release", None, "ck_ledger_hold"),
            (8, "release", 2, "ledger.hold_id"),
            (7, "hold", 7, "ledger.id"),
        ):
            with pytest.raises(sqlite3.IntegrityError, match=broken):
                connection.execute(row, (number, kind, hold))
        connection.execute(row, (8, "release", 7))


def test_a_migrated_ledger_says_what_the_schema_says(path: Path) -> None:
    """Also what its table says, which an update writes by hand."""
    migrate(path, NOW)
    with closing(sqlite3.connect(path)) as connection:
        (migrated,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'ledger'").fetchone()
    kinds = next(one for one in ledger.constraints if one.name == "ck_ledger_kind")
    assert isinstance(kinds, CheckConstraint)
    assert f"CHECK ({kinds.sqltext})" in migrated

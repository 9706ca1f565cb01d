"""The database is brought up to date once, after a copy, or left alone with a clear word."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from pathlib import Path

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
        connection.execute(f"INSERT INTO ledger (at, kind, {BOOKED}) VALUES (1, 'grant', 'acct', 'hold', 5)")
        before = connection.execute("SELECT * FROM ledger").fetchall()
    with closing(sqlite3.connect(path, isolation_level=None)) as connected_before:
        connected_before.execute("SELECT * FROM ledger").fetchall()
        migrate(path, NOW)
        for number, kind in enumerate(LedgerKind):
            row = (1, kind.value, "acct", f"hold {number}", 0)
            connected_before.execute(f"INSERT INTO ledger (at, kind, {BOOKED}) VALUES (?, ?, ?, ?, ?)", row)
        with pytest.raises(sqlite3.IntegrityError, match="ck_ledger_kind"):
            connected_before.execute(f"INSERT INTO ledger (at, kind, {BOOKED}) VALUES (1, 'gift', 'acct', 'hold', 0)")
        assert connected_before.execute("SELECT * FROM ledger LIMIT 1").fetchall() == before
        assert connected_before.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connected_before.execute("PRAGMA foreign_key_check").fetchall() == []


def test_a_migrated_ledger_says_what_the_schema_says(path: Path) -> None:
    """Also what its table says, which an update writes by hand."""
    migrate(path, NOW)
    with closing(sqlite3.connect(path)) as connection:
        (migrated,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'ledger'").fetchone()
    kinds = next(one for one in ledger.constraints if one.name == "ck_ledger_kind")
    assert isinstance(kinds, CheckConstraint)
    assert f"CHECK ({kinds.sqltext})" in migrated

"""Bringing a database up to date at start: one process at a time, after a copy, all or nothing."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import Connection, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from relayhub.store.connection import LOCK_WAIT_S
from relayhub.store.errors import StoreError
from relayhub.store.sole_use import sole_use

SCRIPTS = Path(__file__).parent / "migrations"
BACKUPS_KEPT = 3
_LOOK_S = 0.05
NEWEST = "0011"
"""The revision that this code needs. Known here so that an up-to-date database costs no import of alembic."""

log = structlog.get_logger("relayhub.store")


def migrate(path: Path, now: float) -> None:
    """Make the database what this code needs. Raises ``StoreError`` if it is newer than the code, damaged, or cannot be
    written; then nothing has changed."""
    if not _is_to_be_done(path):
        return
    try:
        _bring_up_to_date(path, now)
    except (sqlite3.Error, DBAPIError) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        raise StoreError(
            f"{path}: the database could not be brought up to date, and is as it was: {cause}. It is locked while another "
            "process does the same, and a large one needs three times its own room beside it."
        ) from error


def _is_to_be_done(path: Path) -> bool:
    """Waits a little for others that may be doing it. A release from before that still has the file open would be lost in it,
    and what its calls come to with it: raises ``StoreError``."""
    deadline, pause = time.monotonic() + LOCK_WAIT_S, threading.Event()
    while (revision := current_revision(path)) not in (None, NEWEST):
        try:
            with sole_use(path):
                return True
        except StoreError as error:
            if time.monotonic() >= deadline:
                raise StoreError(f"{error} This release must update it from revision {revision} to {NEWEST}.") from None
        pause.wait(_LOOK_S)
    return revision is None


def _bring_up_to_date(path: Path, now: float) -> None:
    with _exclusive(path) as connection:
        revision = _revision(path, connection.exec_driver_sql)  # another process may have been first
        if revision == NEWEST:
            return
        if revision is not None:
            _check_known(path, revision)
            log.info("store.migrating", path=str(path), revision=NEWEST, before=revision)  # it may take minutes
            backup(path, revision, now)
        _upgrade(connection)
    log.info("store.migrated", path=str(path), revision=NEWEST, before=revision)


def current_revision(path: Path) -> str | None:
    """The revision of the file, or ``None`` if it is empty. Raises ``StoreError`` for a file of somebody else."""
    try:
        with closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=LOCK_WAIT_S)
        ) as connection:
            return _revision(path, connection.execute)
    except sqlite3.Error as error:
        raise StoreError(f"{path}: the database cannot be read: {error}.") from error


def _revision(path: Path, execute: Callable[[str], Iterable[Sequence[Any]]]) -> str | None:
    tables = {row[0] for row in execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if "alembic_version" in tables:
        return next((str(row[0]) for row in execute("SELECT version_num FROM alembic_version")), None)
    if tables - {"sqlite_sequence"}:
        raise StoreError(f"{path}: this is a database of another program; set store.path to a file of relayhub's own.")
    return None


def _check_known(path: Path, revision: str) -> None:
    if not any(SCRIPTS.joinpath("versions").glob(f"v{revision}_*.py")):
        raise StoreError(
            f"{path}: the database was written by a newer relayhub (revision {revision}, this one knows {NEWEST}). "
            "Install that release again, or restore a backup from before the update."
        )


def backup(path: Path, revision: str, now: float) -> Path:
    """A consistent copy beside the file, also while others use it; the oldest beyond the last few are deleted."""
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    target = path.with_name(f"{path.name}.backup-{revision}-{stamp}")
    target.touch(mode=0o600)
    try:
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(target)) as copy:
            source.backup(copy)
    except BaseException:
        target.unlink()  # else each start that fails would leave a part of one, and in the end no room for another
        raise
    for old in sorted(path.parent.glob(f"{path.name}.backup-*"), key=lambda file: file.stat().st_mtime)[:-BACKUPS_KEPT]:
        old.unlink()
    return target


@contextmanager
def _exclusive(path: Path) -> Iterator[Connection]:
    """A write transaction from its beginning: other processes wait, then find the work done."""
    engine = create_engine(
        "sqlite://",
        creator=lambda: sqlite3.connect(path, isolation_level=None, timeout=LOCK_WAIT_S * 3),
        poolclass=NullPool,
    )
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN EXCLUSIVE"))
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")

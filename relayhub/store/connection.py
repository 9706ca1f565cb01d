"""Plain SQLite connections: how the file is made, and the settings every connection needs."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from relayhub.store.errors import StoreError

LOCK_WAIT_S = 10.0
"""How long anybody waits for another process's write transaction."""

LOCK_POLL_MS = 30
"""SQLite's own waiting grows to 100 ms between two tries, which starves a waiter beside a busy process; whoever wants to
write starts it afresh this often instead."""

_KEPT_STATEMENTS = 256
"""The writer has one for each number of rows that it inserts, or takes out, at once."""

_WAL_KEPT_BYTES = 64 << 20
"""A write-ahead log that a long read made grow is cut back to this."""


def prepare_file(path: Path) -> None:
    """Make the file and its directory if they are missing, readable by their owner only. Raises ``StoreError``."""
    try:
        if not path.parent.exists():
            path.parent.mkdir(parents=True, mode=0o700)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise StoreError(f"{path}: the database cannot be opened: {error.strerror}.") from error


def connect(path: Path) -> sqlite3.Connection:
    """The writer's connection, in autocommit mode (transactions are begun by hand), for the thread that calls this. Whatever
    a row of the writer's refers to, it has read in the same transaction (or knows to be there still), and nobody else can
    write meanwhile: looking for it once more took a sixth of the time of writing. All other connections do have foreign keys
    checked, so nothing that is referred to can be deleted, and ``ledger check`` looks for rows that refer to nothing."""
    connection = sqlite3.connect(
        path, isolation_level=None, timeout=LOCK_POLL_MS / 1000, cached_statements=_KEPT_STATEMENTS
    )
    try:
        connection.execute("PRAGMA foreign_keys = OFF")
        # What this connection deletes are holds, whose words stand in ``usage`` as well: to overwrite them would hide little.
        connection.execute("PRAGMA secure_delete = OFF")
        connection.execute("PRAGMA temp_store = MEMORY")  # else a large statement makes a file to be undone with
        connection.execute(f"PRAGMA journal_size_limit = {_WAL_KEPT_BYTES}")
    except BaseException:
        connection.close()
        raise
    return connection


def use_write_ahead_log(path: Path) -> None:
    """Readers and the writer stop waiting for each other. A property of the file, so once is enough."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=LOCK_WAIT_S)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
    except sqlite3.DatabaseError as error:
        raise StoreError(f"{path}: not a usable SQLite database: {error}.") from error
    finally:
        connection.close()


def is_busy(error: sqlite3.Error) -> bool:
    """Another connection is in the way; trying again may help."""
    return _primary_code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def is_of_the_disk(error: sqlite3.Error) -> bool:
    """Something could not be read, written or synced."""
    return _primary_code(error) == sqlite3.SQLITE_IOERR


def _primary_code(error: sqlite3.Error) -> int:
    """``-1``: the error is not SQLite's own."""
    code = getattr(error, "sqlite_errorcode", None)
    return -1 if code is None else int(code) & 0xFF

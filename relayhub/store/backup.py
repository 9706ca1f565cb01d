"""A copy of the database while others read and write it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from relayhub.store.backup_proof import Proof, prove
from relayhub.store.connection import LOCK_WAIT_S
from relayhub.store.durable import beside, draft_of, exists, put_in_place
from relayhub.store.errors import StoreError
from relayhub.store.key_file import key_path
from relayhub.store.vault import Vault

STEP_PAGES = 256
"""Pages (1 MiB with SQLite's usual size) that are copied between two reports of progress."""

Progress = Callable[[int, int], None]
"""Pages done, pages in all."""


async def back_up(
    database: Path,
    target: Path,
    *,
    replace: bool,
    now: float,
    on_progress: Progress = lambda _done, _all: None,
    before_naming: Callable[[Path], None] = lambda _copy: None,
) -> Proof:
    """Copy the database as it is at one moment, prove the copy, and only then give it its name. A database in WAL mode has no
    readers that hold up its writers: calls go on, and what they commit meanwhile is not in the copy. ``before_naming`` is
    given the sound copy, and may still fail. Raises ``StoreError``,
    and leaves nothing behind, if it cannot be copied or the copy is not sound."""
    await asyncio.to_thread(_check_target, database, target, replace=replace)
    try:
        with draft_of(target) as draft:
            await asyncio.to_thread(_copy, database, draft, on_progress)
            proof = await prove(draft, Vault.opening(database), now)
            if proof.damage:
                raise StoreError(f"{database}: no backup was made, the copy is not sound: {'; '.join(proof.damage)}")
            await asyncio.to_thread(before_naming, draft)
            await asyncio.to_thread(put_in_place, draft, target, replace=replace)
    except OSError as error:
        raise StoreError(f"{target}: the backup cannot be written: {error.strerror}.") from error
    except sqlite3.Error as error:
        raise StoreError(f"{database}: the database cannot be copied to {target}: {error}.") from error
    return proof


def _check_target(database: Path, target: Path, *, replace: bool) -> None:
    if not database.is_file():
        raise StoreError(f"{database}: there is no database to back up.")
    ours = {
        path.resolve() for path in (database, key_path(database), beside(database, "-wal"), beside(database, "-shm"))
    }
    if target.resolve() in ours or beside(target, "-wal").exists():
        raise StoreError(f"{target}: this file belongs to a database in use; name another one.")
    if target.exists() and not replace:
        raise exists(target)


def _copy(database: Path, draft: Path, on_progress: Progress) -> None:
    """In steps, all of one moment: an open read transaction keeps the moment, so that writers do not make it begin again."""
    source = sqlite3.connect(
        f"{database.absolute().as_uri()}?mode=rw", uri=True, timeout=LOCK_WAIT_S, isolation_level=None
    )
    with closing(source), closing(sqlite3.connect(draft, isolation_level=None)) as copy:
        copy.execute("PRAGMA journal_mode = OFF")  # a copy that does not end is thrown away
        copy.execute("PRAGMA synchronous = OFF")  # it is synced as a whole
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_master").fetchone()
        source.backup(copy, pages=STEP_PAGES, progress=lambda _, left, total: on_progress(total - left, total))
    with closing(sqlite3.connect(draft, isolation_level=None)) as copy:
        copy.execute("PRAGMA journal_mode = DELETE")  # one file, that is read without writing beside it

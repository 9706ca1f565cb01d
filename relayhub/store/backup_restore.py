"""Putting a backup in the database's place."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from relayhub.store.audit import Actor, Change, write_changes
from relayhub.store.backup_proof import Proof, prove
from relayhub.store.durable import SIDE_FILES, beside, draft_of, drop_side_files, exists, put_in_place, sync
from relayhub.store.errors import StoreError
from relayhub.store.known import JOBS_EPOCH
from relayhub.store.sole_use import sole_use
from relayhub.store.vault import Vault


@dataclass(frozen=True, slots=True)
class Restored:
    """``kept``: what was there before, under its new name."""

    proof: Proof
    kept: Path | None


async def restore(backup: Path, database: Path, *, force: bool, now: float, actor: Actor) -> Restored:
    """A server that starts on it afterwards releases whatever was held when the backup was made. ``force``: also where there
    is a database, which is kept beside it, and in spite of doubts; never a damaged backup, and never under a running server.
    Raises ``StoreError``; then ``database`` is as it was."""
    proof = await prove(backup, Vault.opening(database), now)
    if proof.damage:
        raise StoreError(f"{backup}: not restored: {'; '.join(proof.damage)}.")
    if proof.doubts and not force:
        raise StoreError(f"{backup}: not restored (--force does it all the same): {'; '.join(proof.doubts)}.")
    kept = await asyncio.to_thread(_restore, proof, database, force=force, now=now, actor=actor)
    return Restored(proof, kept)


def _restore(proof: Proof, database: Path, *, force: bool, now: float, actor: Actor) -> Path | None:
    try:
        if database.exists() and proof.path.samefile(database):
            raise StoreError(f"{database}: this is the database itself, not a backup of it.")
        database.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
        _refuse_if_used(database)
        if database.exists() and not force:
            raise exists(database)
        with draft_of(database) as draft:
            shutil.copyfile(proof.path, draft)
            _begin_anew(draft, proof, now, actor)
            _give_to_owner(draft, database)
            return _exchange(draft, database, now)
    except OSError as error:
        raise StoreError(f"{database}: it cannot be restored: {error.strerror}.") from error
    except sqlite3.Error as error:
        raise StoreError(f"{database}: it cannot be restored: {error}.") from error


def _begin_anew(draft: Path, proof: Proof, now: float, actor: Actor) -> None:
    """The processes of then are not those of now, though one of them may still run on another file: what they held must
    become orphaned. Whoever had signed out since then must not be signed in again."""
    with closing(sqlite3.connect(draft, isolation_level=None)) as connection:
        names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        connection.execute("PRAGMA journal_mode = MEMORY")  # a draft that is not finished is thrown away
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(
            "UPDATE epochs SET host = '(restored)', boot_id = '', pid = 0, started = '', lease_until = 0 WHERE id <> ?",
            (JOBS_EPOCH,),
        )
        if "sessions" in names:
            connection.execute("DELETE FROM sessions")
        if "audit" in names:
            after = {"revision": proof.revision, "newest_at": proof.newest_at}
            write_changes(connection, [Change(actor, "store.restore", "store", None, {**after})], now)
        connection.execute("COMMIT")


def _give_to_owner(draft: Path, database: Path) -> None:
    """Root often restores what another user serves."""
    owner = (database if database.exists() else database.parent).stat()
    with contextlib.suppress(PermissionError):
        os.chown(draft, owner.st_uid, owner.st_gid)


def _exchange(draft: Path, database: Path, now: float) -> Path | None:
    """At each moment there is one whole database under the name. A write-ahead log must never meet another file than its
    own: it goes into the old one first, or, where that is too damaged for it, away with it."""
    if not database.exists():
        drop_side_files(database)
        put_in_place(draft, database, replace=False)
        return None
    _fold_log(database)
    with sole_use(database):
        stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
        kept = beside(database, f".before-restore-{stamp}")
        _keep(database, kept)
        for suffix in SIDE_FILES:
            side = beside(database, suffix)
            if side.exists() and side.stat().st_size:
                side.rename(beside(kept, suffix))
        drop_side_files(database)
        sync(database.parent)
        put_in_place(draft, database, replace=True)
    return kept


def _keep(database: Path, kept: Path) -> None:
    try:
        kept.hardlink_to(database)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        shutil.copy2(database, kept)


def _fold_log(database: Path) -> None:
    with contextlib.suppress(sqlite3.Error), closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _refuse_if_used(database: Path) -> None:
    if database.exists():
        with sole_use(database):
            pass

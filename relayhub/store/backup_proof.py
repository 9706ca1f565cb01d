"""Proving that a backup is what it should be, without touching it."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from relayhub.store.audit import AuditLog
from relayhub.store.check import violations
from relayhub.store.connection import use_write_ahead_log
from relayhub.store.durable import SIDE_FILES, beside
from relayhub.store.engine import Engine
from relayhub.store.errors import StoreError
from relayhub.store.migrate import NEWEST, migrate
from relayhub.store.sealed import wanted_values
from relayhub.store.vault import Vault
from relayhub.types.errors import HubError

MOST_SHOWN = 10
"""Faults of one kind that are listed."""

_COUNTS = {
    "accounts": "accounts",
    "keys": "keys",
    "people": "people",
    "ledger_rows": "ledger",
    "open_holds": "holds",
    "usage_rows": "usage",
    "jobs": "jobs",
    "open_jobs": "jobs WHERE finished_at IS NULL",
    "results": "artifacts WHERE file IS NOT NULL",
    "audit_rows": "audit",
}
_NEWEST_ROW = "SELECT max(at) FROM (SELECT max(at) AS at FROM ledger UNION ALL SELECT max(at) FROM audit)"


@dataclass(frozen=True, slots=True)
class Proof:
    """``revision``: of its tables. ``newest_at``: the last thing that was written into its books. ``damage``: it must not
    be used; ``doubts``: something is lost or was altered, see each. ``sealed``: values that somebody may still open."""

    path: Path
    size: int
    revision: str
    newest_at: float | None
    counts: Mapping[str, int]
    sealed: int
    damage: tuple[str, ...]
    doubts: tuple[str, ...]

    @property
    def sound(self) -> bool:
        return not self.damage and not self.doubts


async def prove(backup: Path, vault: Vault | None, now: float) -> Proof:
    """``vault``: with which its sealed values will have to be opened. Raises ``StoreError`` for what is no backup of ours, or
    of a newer release."""
    size = await asyncio.to_thread(_size, backup)
    damage = await asyncio.to_thread(_damage, backup)
    if damage:
        return Proof(backup, size, "", None, {}, 0, damage, ())
    revision = await asyncio.to_thread(_revision, backup)
    if revision == NEWEST:
        return await _books(Proof(backup, size, revision, None, {}, 0, (), ()), backup, vault, now)
    with tempfile.TemporaryDirectory(prefix="relayhub-") as folder:
        updated = Path(folder) / "copy.db"
        await asyncio.to_thread(_updated, backup, updated, now)
        return await _books(Proof(backup, size, revision, None, {}, 0, (), ()), updated, vault, now)


def _size(backup: Path) -> int:
    if not backup.is_file():
        raise StoreError(f"{backup}: there is no such file.")
    for suffix in SIDE_FILES:
        if beside(backup, suffix).exists():
            raise StoreError(
                f"{backup}: {backup.name}{suffix} lies beside it, so this is a database in use, or what one left behind, "
                "and not a backup; `relayhub backup` makes one."
            )
    return backup.stat().st_size


async def _books(proof: Proof, readable: Path, vault: Vault | None, now: float) -> Proof:
    """``readable``: the backup with the tables of this release."""
    counts, newest_at, sealed, unreadable = await asyncio.to_thread(_contents, readable, vault, now)
    doubts = await _altered(readable)
    if unreadable:
        doubts.append(
            f"{unreadable} of {sealed} sealed values cannot be opened with the vault's keys; restore the key file that "
            "belonged to the database"
        )
    return replace(proof, newest_at=newest_at, counts=counts, sealed=sealed, doubts=tuple(doubts))


async def _altered(database: Path) -> list[str]:
    engine = Engine(database, frozen=True)
    try:
        async with engine.reading() as connection:
            found = [str(violation) for violation in await violations(connection)]
        broken = await AuditLog(engine).first_broken()
    except HubError as error:
        raise StoreError(f"{database}: the backup cannot be read: {error.detail}.") from error
    finally:
        await engine.close()
    if broken is not None:
        found.append(f"the audit log is broken from row {broken} on")
    return found


def opened(backup: Path) -> sqlite3.Connection:
    """For reading only; nothing is written beside it."""
    return sqlite3.connect(f"{backup.absolute().as_uri()}?mode=ro&immutable=1", uri=True)


def result_files(backup: Path, now: float) -> list[str]:
    """The names of the results that are still kept."""
    with closing(opened(backup)) as connection:
        wanted = "SELECT file FROM artifacts WHERE file IS NOT NULL AND expires_at > ? ORDER BY file"
        return [str(row[0]) for row in connection.execute(wanted, (now,))]


def _damage(backup: Path) -> tuple[str, ...]:
    try:
        with closing(opened(backup)) as connection:
            return tuple(_faults(connection))
    except sqlite3.Error as error:
        return (f"it is damaged, cut short, or no database at all ({error})",)


def _faults(connection: sqlite3.Connection) -> Iterator[str]:
    for (line,) in connection.execute(f"PRAGMA integrity_check({MOST_SHOWN})"):
        if line != "ok":
            yield f"it is damaged ({line})"
    for number, (table, row, *_) in enumerate(connection.execute("PRAGMA foreign_key_check")):
        if number == MOST_SHOWN:
            break
        yield f"row {row} of {table} refers to nothing"


def _revision(backup: Path) -> str:
    with closing(opened(backup)) as connection:
        names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        rows = connection.execute("SELECT version_num FROM alembic_version").fetchall() if "ledger" in names else []
    if not rows:
        raise StoreError(f"{backup}: this is no database of relayhub's.")
    return str(rows[0][0])


def _updated(backup: Path, copy: Path, now: float) -> None:
    shutil.copyfile(backup, copy)
    use_write_ahead_log(copy)  # a migration reads the file while it has it to itself
    migrate(copy, now)
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")


def _contents(database: Path, vault: Vault | None, now: float) -> tuple[dict[str, int], float | None, int, int]:
    with closing(opened(database)) as connection:
        counts = {name: _one(connection, f"SELECT count(*) FROM {rows}") for name, rows in _COUNTS.items()}  # noqa: S608
        newest_at = connection.execute(_NEWEST_ROW).fetchone()[0]
        sealed = unreadable = 0
        for value in wanted_values(connection, now):
            sealed += 1
            unreadable += vault is None or vault.tried(value.sealed, value.place) is None
    return counts, newest_at, sealed, unreadable


def _one(connection: sqlite3.Connection, statement: str) -> int:
    return int(connection.execute(statement).fetchone()[0])

"""How far a transaction has to have got before it is answered, and what is on its way to the disk.

Whatever is told to anybody outside has to be on the disk first, where ``store.durability`` is ``power``. A hold is told to
nobody: it has to be where a crash of the process does not take it before anything is sent upstream, and on the disk before
its call is settled. Were power lost in between, the hold would be released at the next start, whether it is there or not. So
a transaction of nothing but such intents is answered when it is committed, and gets to the disk with the next one, or, if
none comes that waits for the disk, :data:`BEHIND_S` later.

A disk that fails to sync may have lost what was committed before, and pretend later to have it: SQLite would go on behind
the gap, and find nothing of that again after a loss of power. So after such a failure nothing is committed before the whole
log has been taken into the database.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Sequence
from typing import Any

from relayhub.store.durability import Durability
from relayhub.store.intents import Intent

BEHIND_S = 0.2
"""So long at most something that is committed may be missing on the disk."""

_ON_DISK, _COMMITTED = "FULL", "NORMAL"
"""SQLite's words for what a commit waits for, in WAL mode."""

_SET = {setting: f"PRAGMA synchronous = {setting}" for setting in (_ON_DISK, _COMMITTED)}


class Syncing:
    """Used in the writer's thread only. ``log``: the database's write-ahead log."""

    def __init__(self, log: str, durability: Durability) -> None:
        self._log = log
        self._power = durability is Durability.POWER
        self._setting: str | None = None
        self._changes = 0
        self._since: float | None = None
        """When the oldest transaction was committed that may not be on the disk; ``None``: there is none."""
        self._doubtful = False

    def prepare(self, cursor: sqlite3.Cursor, intents: Sequence[Intent[Any]], *, healthy: bool) -> None:
        """Before the transaction of these is begun. ``healthy``: the one before did not fail; else nothing is put off."""
        if self._doubtful:
            self._empty_log(cursor)
        setting = _ON_DISK if self._waits(intents, healthy) else _COMMITTED
        if setting != self._setting:
            # As a script: SQLite compiles this one anew each time, which a statement that is kept has to find out first.
            cursor.executescript(_SET[setting])
            self._setting = setting
        self._changes = cursor.connection.total_changes

    def _waits(self, intents: Sequence[Intent[Any]], healthy: bool) -> bool:
        power = self._power
        if power and not (healthy and (self._since is None or time.monotonic() - self._since < BEHIND_S)):
            return True
        if len(intents) == 1:  # a generator takes longer to make than this to ask
            return intents[0].power or (power and not intents[0].trailing)
        return any(intent.power or (power and not intent.trailing) for intent in intents)

    def committed(self, cursor: sqlite3.Cursor) -> bool:
        """The transaction that was prepared has been committed; whether anything was written. If so, and it has waited for
        the disk, all before it is there too."""
        if cursor.connection.total_changes == self._changes:
            return False
        if self._setting == _ON_DISK:
            self._since = None
        elif self._power and self._since is None:
            self._since = time.monotonic()
        return True

    def left_s(self) -> float | None:
        """In what time the disk has to be caught up with; ``None``: it has everything."""
        return None if self._since is None else max(0.0, self._since + BEHIND_S - time.monotonic())

    def catch_up(self) -> None:
        """Whatever has been committed is on the disk when this returns. Raises ``OSError``."""
        try:
            log = os.open(self._log, os.O_RDONLY)
            try:
                os.fsync(log)
            finally:
                os.close(log)
        except OSError:
            self.distrust()
            raise
        self._since = None

    def distrust(self) -> None:
        """The disk has failed to take something."""
        self._doubtful = True

    def _empty_log(self, cursor: sqlite3.Cursor) -> None:
        busy = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if busy:
            raise sqlite3.OperationalError("others are reading what a failed sync has to be mended with")
        self._doubtful = False
        self._since = None

    def forget(self) -> None:
        """The connection is another."""
        self._setting = None

"""How far a transaction has to have got before it is answered, and what is on its way to the disk.

Whatever is told to anybody outside has to be on the disk first, where ``store.durability`` is ``power``. A hold is told to
nobody: it has to be where a crash of the process does not take it before anything is sent upstream, and on the disk before
its call is settled. Were power lost in between, the hold would be released at the next start, whether it is there or not. So
a transaction of nothing but such intents is answered when it is committed, and gets to the disk with the next one, or, if
none comes, :data:`BEHIND_S` later.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from relayhub.store.durability import Durability
from relayhub.store.intents import Intent

BEHIND_S = 0.2
"""So long at most a transaction may be behind the disk."""

_ON_DISK, _COMMITTED = "FULL", "NORMAL"
"""SQLite's words for what a commit waits for, in WAL mode."""


class Syncing:
    """Used in the writer's thread only. ``path``: of the database."""

    def __init__(self, path: Path, durability: Durability) -> None:
        self._log = f"{path}-wal"
        self._power = durability is Durability.POWER
        self._setting: str | None = None
        self._behind = False

    @property
    def behind(self) -> bool:
        """Something was committed that has to get to the disk and may not be there yet."""
        return self._behind

    def prepare(self, cursor: sqlite3.Cursor, intents: Sequence[Intent[Any]], *, healthy: bool) -> None:
        """Before the transaction of these is begun. ``healthy``: the one before did not fail; else nothing is put off."""
        setting = self._needed(intents, healthy)
        if setting != self._setting:
            cursor.execute(f"PRAGMA synchronous = {setting}")
            self._setting = setting

    def _needed(self, intents: Sequence[Intent[Any]], healthy: bool) -> str:
        for intent in intents:
            if intent.power or (self._power and not (intent.trailing and healthy)):
                return _ON_DISK
        return _COMMITTED

    def committed(self) -> None:
        """The transaction that was prepared has been committed; a sync takes along whatever came before it."""
        self._behind = self._power and self._setting == _COMMITTED

    def catch_up(self) -> None:
        """Whatever has been committed is on the disk when this returns. Raises ``OSError``, and does not try again then: what
        a disk has refused once it may pretend to have."""
        self._behind = False
        with suppress(FileNotFoundError):  # all of it is in the database then
            log = os.open(self._log, os.O_RDONLY)
            try:
                os.fsync(log)
            finally:
                os.close(log)

    def forget(self) -> None:
        """The connection is another."""
        self._setting = None

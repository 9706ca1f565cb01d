"""Taking turns at the file with the writers of other processes, so that none of them is left behind.

SQLite lets whoever asks at the right moment have the file, and a busy writer always asks at the right moment: just after
its own commit. Here every writer passes a gate before each turn, and whoever has waited for :data:`INSISTS_S` stands in it
until it has its own, so that nobody overtakes it any more. (Insisting at once would be fairer still, and slower: each turn
would begin with waking another process.) Both are bytes of one file, locked by the kernel: a process that dies leaves
nothing behind. It is a courtesy: after :data:`PATIENCE_S`, or where there is no such file, a writer goes ahead, and SQLite
decides.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from pathlib import Path
from types import TracebackType

INSISTS_S = 0.004
"""A few turns of others."""

PATIENCE_S = 0.25
"""Turns are of milliseconds: somebody who takes longer has been stopped, or waits for the disk."""

ALONE_S = 1.0
"""For so long nobody is waited for after that."""

_GATE, _TURN = 0, 1
_BOTH = 2
"""So many places from the gate on, taken in one step or not at all."""

_UNLOCK = fcntl.LOCK_UN
_AT_ONCE = fcntl.LOCK_EX | fcntl.LOCK_NB
_LOOK_S = 0.0004
"""Between two looks; a hand-over takes half of that."""


class Turnstile:
    """For ``with``, around each transaction; used by one thread."""

    def __init__(self, database: Path) -> None:
        self._file = _opened(database.with_name(f"{database.name}.turns"))
        self._never = threading.Event()
        self._in_gate = False
        self._alone_until = 0.0

    def __enter__(self) -> None:
        if self._file is None:
            return
        if self._takes(_GATE, _BOTH):  # nobody else is there
            self._leaves(_GATE)
            return
        now = time.monotonic()
        if now < self._alone_until:
            return
        while not self._has_turn(now + INSISTS_S):
            if time.monotonic() >= now + PATIENCE_S:
                self._alone_until = time.monotonic() + ALONE_S
                break
            self._never.wait(_LOOK_S)
        if self._in_gate:
            self._leave_gate()

    def _has_turn(self, insists_at: float) -> bool:
        self._in_gate = self._in_gate or self._takes(_GATE)
        if not self._in_gate:
            return False
        if self._takes(_TURN):
            return True
        if time.monotonic() < insists_at:
            self._leave_gate()
        return False

    def _leave_gate(self) -> None:
        self._in_gate = False
        self._leaves(_GATE)

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._leaves(_TURN)

    def close(self) -> None:
        """Idempotent."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _takes(self, place: int, places: int = 1) -> bool:
        assert self._file is not None
        try:
            fcntl.lockf(self._file, _AT_ONCE, places, place)
        except OSError:
            return False
        return True

    def _leaves(self, place: int) -> None:
        if self._file is not None:
            fcntl.lockf(self._file, _UNLOCK, 1, place)


def _opened(path: Path) -> int | None:
    """``None`` where it cannot be had, such as in a folder that is only read."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return None

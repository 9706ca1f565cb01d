"""Having a database file to oneself."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from relayhub.store.errors import StoreError

_SHARED_LOCK = (0x40000002, 510)
"""Where SQLite's connections lock a database file: each has at least one of these bytes while it is open in WAL mode."""


@contextmanager
def sole_use(database: Path) -> Iterator[None]:
    """While nobody has the database open, whatever is in it; whoever comes now has to wait. Raises ``StoreError``. Not while
    this process has it open: closing any descriptor of a file ends all of a process's locks on it."""
    start, length = _SHARED_LOCK
    descriptor = os.open(database, os.O_RDWR | os.O_CLOEXEC)
    try:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, length, start)
        except (BlockingIOError, PermissionError):
            raise StoreError(
                f"{database}: a server or another command has this database open; stop it first (SIGTERM, then wait)."
            ) from None
        yield
    finally:
        os.close(descriptor)

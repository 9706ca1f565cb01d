"""Files that appear under their names whole and durable, or not at all."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from relayhub.store.errors import StoreError

DRAFT = ".part"
SIDE_FILES = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a database."""


def beside(database: Path, suffix: str) -> Path:
    return database.with_name(database.name + suffix)


@contextmanager
def draft_of(target: Path) -> Iterator[Path]:
    """An empty file (0600) beside ``target``, ours alone, whatever a killed process left there; gone at the end of the block
    unless it was put in its place. Raises ``StoreError`` while another process writes the same."""
    draft = beside(target, DRAFT)
    descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _claim(descriptor, draft)
        os.ftruncate(descriptor, 0)
        os.fchmod(descriptor, 0o600)
        drop_side_files(draft)
        try:
            yield draft
        finally:
            if _is(descriptor, draft):
                draft.unlink()
                drop_side_files(draft)
    finally:
        os.close(descriptor)


def _claim(descriptor: int, draft: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is(descriptor, draft):
            return
    except BlockingIOError:
        pass
    raise StoreError(f"{draft}: another process writes this file at the moment; wait for it.")


def _is(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def put_in_place(draft: Path, target: Path, *, replace: bool) -> None:
    """Durable when this returns. Raises ``StoreError`` if there is such a file and it must not be replaced."""
    sync(draft)
    if not replace:
        try:
            target.hardlink_to(draft)
        except FileExistsError:
            raise exists(target) from None
        except OSError:  # a file system without links
            if target.exists():
                raise exists(target) from None
            draft.replace(target)
    else:
        draft.replace(target)
    sync(target.parent)


def exists(target: Path) -> StoreError:
    return StoreError(f"{target}: there is such a file already; name another one, or add --force to replace it.")


def drop_side_files(database: Path) -> None:
    for suffix in SIDE_FILES:
        beside(database, suffix).unlink(missing_ok=True)


def sync(path: Path) -> None:
    """A file or a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

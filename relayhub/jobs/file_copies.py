"""Copies of results, for backups: each appears whole, and one that is there already is not copied again."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from relayhub.jobs.files import PARTIAL, FileStore


@dataclass(frozen=True, slots=True)
class Copied:
    """``files`` and ``size`` (bytes): all that are there now. ``missing``: names without a file at the source."""

    files: int
    size: int
    missing: int


def copy_results(source: Path, target: Path, names: Iterable[str]) -> Copied:
    """From one results folder to another. Raises ``OSError``."""
    here, there = FileStore(source, 0), FileStore(target, 0)
    files = size = missing = 0
    for name in names:
        if not name.replace("_", "").isalnum():
            missing += 1  # not a name that the hub gives
            continue
        try:
            size += _copied(here.path(name), there.path(name))
            files += 1
        except FileNotFoundError:
            missing += 1
    return Copied(files, size, missing)


def drop_others(folder: Path, names: Iterable[str]) -> None:
    """What an earlier backup of this name had, and the database no longer names. Raises ``OSError``."""
    known = set(names)
    for path in folder.glob("??/*"):
        if path.name not in known:
            path.unlink()


def _copied(source: Path, target: Path) -> int:
    """Its size."""
    size = source.stat().st_size
    if target.exists() and target.stat().st_size == size:
        return size
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = target.with_name(target.name + PARTIAL)
    try:
        with source.open("rb") as old, partial.open("wb") as new:
            os.fchmod(new.fileno(), 0o600)
            shutil.copyfileobj(old, new, 1 << 20)
            new.flush()
            os.fsync(new.fileno())
        partial.replace(target)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()
    return size

"""The files of dropped-in plugins: they are loaded once, and what changes later waits for a restart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

from relayhub.config import Change
from relayhub.config.differences import Kind

Stamp: TypeAlias = "tuple[int, int, int]"
"""Changes when a file does: its time, its size, and which file it is."""


def stamp_of(file: Path) -> Stamp | None:
    """``None``: there is none."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def stamps_of(files: Iterable[Path]) -> dict[Path, Stamp | None]:
    return {file: stamp_of(file) for file in files}


def plugin_files(folders: Iterable[Path]) -> Iterator[Path]:
    """All sources in the folders of drop-ins, sub-folders included."""
    for folder in folders:
        try:
            yield from sorted(file for file in folder.rglob("*.py") if "__pycache__" not in file.parts)
        except OSError:
            continue  # a folder that is gone has no files


def changed_plugins(before: dict[Path, Stamp | None], now: dict[Path, Stamp | None]) -> Iterator[Change]:
    for file in sorted({*before, *now}):
        if file not in before:
            yield Change(f"plugins.dirs: {file}", Kind.ADDED, restart=True)
        elif file not in now:
            yield Change(f"plugins.dirs: {file}", Kind.REMOVED, restart=True)
        elif before[file] != now[file]:
            yield Change(f"plugins.dirs: {file}", Kind.CHANGED, restart=True)

"""The folder of results: written beside their place, synced, and put there in one step."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import time
from collections.abc import AsyncIterable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

from relayhub.types.errors import ErrorKind, HubError

P = ParamSpec("P")
T = TypeVar("T")

PARTIAL = ".part"
HEAD_BYTES = 64
SWEPT = ".swept"
"""Its time is that of the last sweep."""
_EARLY = 0.9
"""Whoever comes a little early is not sent away for another whole round."""
ABANDONED_S = 25 * 3600.0
"""A file that belongs to no result for so long was left behind by a crash, or lent and is not needed any more."""


class TooLarge(Exception):
    """More bytes came than may be kept."""


@dataclass(frozen=True, slots=True)
class Written:
    """``head``: its first bytes, for telling what it is."""

    name: str
    size: int
    head: bytes


class FileStore:
    """Files by name, in sub-folders so that no folder grows too large."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes

    async def write(self, name: str, chunks: AsyncIterable[bytes]) -> Written:
        """All or nothing; an older file of this name is replaced. Raises ``TooLarge``, ``HubError`` where the disk takes
        no more, and whatever ``chunks`` raises: its ``OSError`` is a source's that broke off, not the disk's."""
        path = self.path(name)
        partial = path.with_name(path.name + PARTIAL)
        try:
            file = await _on_disk(_create, partial)
            try:
                size, head = await self._fill(file, chunks)
                await _on_disk(_commit, file, partial, path)
            finally:
                os.close(file)
        finally:
            with contextlib.suppress(OSError):
                partial.unlink()
        return Written(name, size, head)

    async def _fill(self, file: int, chunks: AsyncIterable[bytes]) -> tuple[int, bytes]:
        size, head = 0, b""
        async for data in chunks:
            size += len(data)
            if size > self._max_bytes:
                raise TooLarge
            if len(head) < HEAD_BYTES:
                head = (head + data)[:HEAD_BYTES]
            await _on_disk(_write_all, file, data)
        return size, head

    def path(self, name: str) -> Path:
        """``name`` is the hub's own, never a client's; also that of a file that was left unfinished."""
        return self._folder / name.removesuffix(PARTIAL)[-2:].lower() / name

    async def delete(self, name: str) -> None:
        """Idempotent. Raises ``OSError``."""
        with contextlib.suppress(FileNotFoundError):
            await asyncio.to_thread(self.path(name).unlink)

    def takes_sweep(self, every_s: float) -> bool:
        """Whether nobody has swept this folder for so long, of all processes that use it: then it is this one's turn.
        Raises ``OSError``."""
        if not self._folder.is_dir():
            return True
        file = os.open(self._folder / SWEPT, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.lockf(file, fcntl.LOCK_EX)
            stat = os.fstat(file)
            if stat.st_size and 0 <= time.time() - stat.st_mtime < every_s * _EARLY:
                return False
            os.pwrite(file, b"swept\n", 0)
            return True
        finally:
            os.close(file)

    def old_names(self) -> Iterator[str]:
        """Files that are too old to be still on their way."""
        before = time.time() - ABANDONED_S
        for path in self._folder.glob("??/*"):
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < before:
                    yield path.name


async def _on_disk(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """In a thread. Raises ``HubError``."""
    try:
        return await asyncio.to_thread(work, *args, **kwargs)
    except OSError as error:
        raise _no_room(error) from error


def _create(partial: Path) -> int:
    partial.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)


def _write_all(file: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(file, left) :]


def _commit(file: int, partial: Path, path: Path) -> None:
    os.fsync(file)
    partial.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _no_room(error: OSError) -> HubError:
    return HubError(
        ErrorKind.UNAVAILABLE,
        "The server has no room for this result at the moment.",
        code="result_not_stored",
        detail=repr(error),
    )

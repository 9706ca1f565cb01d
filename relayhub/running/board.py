"""Numbers that all workers see: how many calls each of them has under way at each provider that takes only so many.

A page of shared memory: a column for each provider, by the hash of its name, and in it a cell for each worker, which only
that worker writes. Reading is adding up the others' cells; nobody waits for anybody. The memory ends with its processes.
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import tempfile
from dataclasses import dataclass, field

from relayhub.types.share import Share

COLUMNS = 1024
"""Providers that fit in; of further ones each worker knows its own calls only."""

_CELL_BYTES = 8


@dataclass(slots=True)
class Board:
    """``cells``: a column of ``1 + workers`` numbers each: the hash of its name, or 0 while it is free, then the calls of
    each worker."""

    share: Share
    descriptor: int
    cells: memoryview
    _columns: dict[str, int | None] = field(default_factory=dict)

    def note(self, provider: str, calls: int) -> None:
        """This worker has so many calls under way there."""
        column = self._column(provider)
        if column is not None:
            self.cells[column + self.share.number] = calls

    def others(self, provider: str) -> int:
        """How many all other workers have."""
        column = self._column(provider)
        if column is None:
            return 0
        return sum(self.cells[column + 1 : column + 1 + self.share.of]) - self.cells[column + self.share.number]

    def clear(self, number: int) -> None:
        """A worker has died, and its calls with it."""
        width = self.share.of + 1
        for start in range(0, COLUMNS * width, width):
            self.cells[start + number] = 0

    def _column(self, provider: str) -> int | None:
        if provider not in self._columns:
            self._columns[provider] = self._claim(_hash(provider))
        return self._columns[provider]

    def _claim(self, name: int) -> int | None:
        """Where this name has its column; a free one becomes its own. One process at a time."""
        fcntl.lockf(self.descriptor, fcntl.LOCK_EX)
        try:
            for start in range(0, len(self.cells), self.share.of + 1):
                if self.cells[start] in (0, name):
                    self.cells[start] = name
                    return start
            return None
        finally:
            fcntl.lockf(self.descriptor, fcntl.LOCK_UN)


def make_board(workers: int) -> Board:
    """By the supervisor, which has no cell of its own."""
    descriptor = _anonymous()
    os.ftruncate(descriptor, COLUMNS * (workers + 1) * _CELL_BYTES)
    return open_board(descriptor, Share(0, workers))


def open_board(descriptor: int, share: Share) -> Board:
    """``descriptor``: inherited from the process that made it."""
    size = COLUMNS * (share.of + 1) * _CELL_BYTES
    return Board(share, descriptor, memoryview(mmap.mmap(descriptor, size)).cast("Q"))


def _anonymous() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("relayhub-workers")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _hash(provider: str) -> int:
    """Never 0."""
    return int.from_bytes(hashlib.blake2b(provider.encode(), digest_size=7).digest()) + 1

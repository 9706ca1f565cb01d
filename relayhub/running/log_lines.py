"""A log that several processes write: whole lines, whatever their length."""

from __future__ import annotations

import fcntl
import io
import os
import threading


class LogLines(io.TextIOBase):
    """Text for ``target``, a descriptor that other processes write to as well. Nothing is written before its line is
    complete. Pipes break up what is longer than a page, so the writers take turns: ``lock`` is a file that all of them have
    open, and whoever dies while writing lets go of it."""

    def __init__(self, target: int, lock: int) -> None:
        super().__init__()
        self._target = target
        self._lock = lock
        self._one_thread = threading.Lock()
        self._begun = threading.local()

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._target

    def isatty(self) -> bool:
        return os.isatty(self._target)

    def write(self, text: str, /) -> int:
        begun = getattr(self._begun, "text", "") + text
        whole, end, self._begun.text = begun.rpartition("\n")
        if end:
            self._emit((whole + end).encode("utf-8", "backslashreplace"))
        return len(text)

    def _emit(self, lines: bytes) -> None:
        left = memoryview(lines)
        with self._one_thread:
            fcntl.lockf(self._lock, fcntl.LOCK_EX)
            try:
                while left:
                    left = left[os.write(self._target, left) :]
            finally:
                fcntl.lockf(self._lock, fcntl.LOCK_UN)

"""Where log lines go. A disk that takes none, or a pipe that nobody reads any more, must not fail what is logged about."""

from __future__ import annotations

import io
from typing import TextIO


class UnfailingTarget(io.TextIOBase):
    """Lines that cannot be written are lost, and counted in the next one that can."""

    def __init__(self, file: TextIO | io.TextIOBase) -> None:
        self._file = file
        self._lost = 0

    def isatty(self) -> bool:
        return self._file.isatty()

    def write(self, text: str) -> int:
        try:
            if self._lost:
                self._file.write(f"({self._lost} pieces of this log are lost: they could not be written)\n")
                self._file.flush()
                self._lost = 0
            self._file.write(text)
        except (OSError, ValueError):  # ``ValueError``: it was closed
            self._lost += 1
        return len(text)

    def flush(self) -> None:
        try:
            self._file.flush()
        except (OSError, ValueError):
            self._lost += 1

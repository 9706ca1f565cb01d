"""Whether it pays to wait for something that comes at some times and not at others."""

from __future__ import annotations

LONGEST_PAUSE = 63


class Patience:
    """After a wait in vain the next one is left out, after another one the next three, and so on: where nothing comes, hardly
    anything is waited for. One that was not in vain begins anew."""

    __slots__ = ("_left_out", "_pause")

    def __init__(self) -> None:
        self._pause = 0
        self._left_out = 0

    def waits(self) -> bool:
        """Whether to wait this time; say then what came of it."""
        if self._left_out == 0:
            return True
        self._left_out -= 1
        return False

    def note(self, *, paid: bool) -> None:
        self._pause = 0 if paid else min(2 * self._pause + 1, LONGEST_PAUSE)
        self._left_out = self._pause

"""What wakes a thread.

A lock or a queue wakes the other thread while the one that does it holds the interpreter's own lock: on one processor the
other one runs at once, finds that lock taken and goes back to sleep, three times over for each ring. Python lets the lock go
while it writes to a pipe, so whoever wakes from reading it can go on.
"""

from __future__ import annotations

import os
import select
from contextlib import suppress

_ALL = 1 << 16
"""As many rings as a pipe takes."""


class Bell:
    """One thread waits, another rings; a ring that nobody waits for yet is heard at once by whoever waits next, and however
    many there were, they are one. Made and closed by whoever rings."""

    __slots__ = ("_heard", "_poll", "_rung")

    def __init__(self) -> None:
        self._heard, self._rung = os.pipe()
        os.set_blocking(self._rung, False)
        waiting = select.poll()
        waiting.register(self._heard, select.POLLIN)
        self._poll = waiting.poll

    def ring(self) -> None:
        """Does nothing once it is closed."""
        if self._rung >= 0:
            with suppress(BlockingIOError):  # full of rings that will be heard
                os.write(self._rung, b"\0")

    def wait(self, most_s: float | None) -> None:
        """Until it rings, or for so long, in steps of a millisecond; ``None``: however long it takes."""
        if self._poll(None if most_s is None else most_s * 1000):
            os.read(self._heard, _ALL)

    def close(self) -> None:
        """Once nobody waits any more. Idempotent."""
        if self._rung >= 0:
            os.close(self._rung)
            os.close(self._heard)
            self._rung = -1

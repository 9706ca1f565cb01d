"""Tasks that may take so long and no longer: one timer does for all of them."""

from __future__ import annotations

import asyncio
import math
from typing import Any


class TimeLimits:
    """Cancels whoever is not done in time. As ``asyncio.timeout_at``, which has a timer and six calls for each. Use on one
    loop at a time."""

    __slots__ = ("_loop", "_rings_at", "_timer", "_until")

    def __init__(self) -> None:
        self._until: dict[asyncio.Task[Any], float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = math.inf
        self._loop: asyncio.AbstractEventLoop | None = None

    def begin(self, task: asyncio.Task[Any], until: float) -> None:
        """``until``: loop time. To be ended, whatever happens."""
        loop = task.get_loop()
        if loop is not self._loop:  # the timer of one that has ended never rings
            self._loop, self._rings_at = loop, math.inf
        self._until[task] = until
        if until < self._rings_at:
            self._set(until)

    def end(self, task: asyncio.Task[Any]) -> bool:
        """``True``: it was too late, and was cancelled for it, once."""
        return self._until.pop(task, None) is None

    def _set(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings_at = at
        assert self._loop is not None
        self._timer = self._loop.call_at(at, self._ring)

    def _ring(self) -> None:
        """Mostly too early: those for whom it was set were done long before."""
        self._timer, self._rings_at = None, math.inf
        assert self._loop is not None
        now = self._loop.time()
        for task in [task for task, until in self._until.items() if until <= now]:
            del self._until[task]
            task.cancel()
        if self._until:
            self._set(min(self._until.values()))

"""Whoever waits without a task, all of them equally long at most: one timer does for them."""

from __future__ import annotations

import asyncio
from itertools import takewhile
from typing import Protocol

import structlog

log = structlog.get_logger("relayhub.call")


class Waiting(Protocol):
    def is_late(self) -> None:
        """It has waited long enough. Must not raise."""
        ...


class EqualWaits:
    """``wait_s``: how long each may wait. Use on one loop."""

    __slots__ = ("_loop", "_timer", "_waiting", "wait_s")
    _loop: asyncio.AbstractEventLoop

    def __init__(self, wait_s: float) -> None:
        self.wait_s = wait_s
        self._waiting: dict[Waiting, float] = {}
        """Until when, in loop time; the one that has waited longest first."""
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, one: Waiting) -> float:
        """The loop's time, as it is asked for anyway."""
        if self._timer is None:
            loop = self._loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self.wait_s, self._ring)
        now = self._loop.time()
        self._waiting[one] = now + self.wait_s
        return now

    def end(self, one: Waiting) -> bool:
        """``False``: it did not wait any more."""
        return self._waiting.pop(one, None) is not None

    def _ring(self) -> None:
        now = self._loop.time()
        late = [one for one, _ in takewhile(lambda each: each[1] <= now, self._waiting.items())]
        for one in late:
            del self._waiting[one]
        first = next(iter(self._waiting.values()), None)
        self._timer = None if first is None else self._loop.call_at(first, self._ring)
        for one in late:
            try:
                one.is_late()
            except Exception:  # the others must hear of it too
                log.exception("wait.unheard")

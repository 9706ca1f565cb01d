"""A clock for what sleeps side by side: time goes by only when the test lets it, and everybody wakes at their own moment."""

from __future__ import annotations

import asyncio
import heapq
from itertools import count

from relayhub.testing import FakeClock

_SETTLE = 20
"""Rounds of the loop in which whoever has woken does what it does and sleeps again, where no thread is asked."""


class TurnedClock(FakeClock):
    """``wakes``: the moments at which somebody woke, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.wakes: list[float] = []
        self._sleeping: list[tuple[float, int, asyncio.Future[None]]] = []
        self._number = count()

    @property
    def sleepers(self) -> int:
        """How many sleep at the moment."""
        return sum(not woken.done() for _, _, woken in self._sleeping)

    async def sleep(self, seconds: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleeping, (self.monotonic() + seconds, next(self._number), woken))
        await woken

    async def pass_by(self, seconds: float) -> None:
        """Wake whoever is due within this time, each at its moment."""
        until = self.monotonic() + seconds
        await _settled()
        while self._sleeping and self._sleeping[0][0] <= until:
            due, _, woken = heapq.heappop(self._sleeping)
            self.advance(max(0.0, due - self.monotonic()))
            if not woken.done():
                woken.set_result(None)
                self.wakes.append(due)
            await _settled()
        self.advance(until - self.monotonic())


async def _settled() -> None:
    for _ in range(_SETTLE):
        await asyncio.sleep(0)

"""Calls that wait for their settlements without a task: all wait equally long at most, so one timer does for them."""

from __future__ import annotations

import asyncio
from typing import Protocol

from relayhub.types.limits import SETTLEMENT_WAIT_S


class Waiting(Protocol):
    def settles_late(self) -> None:
        """It has waited long enough. Must not raise."""
        ...


class SettlementWaits:
    """Use on one loop."""

    __slots__ = ("_loop", "_timer", "_waiting", "wait_s")
    _loop: asyncio.AbstractEventLoop

    def __init__(self, wait_s: float = SETTLEMENT_WAIT_S) -> None:
        self.wait_s = wait_s
        self._waiting: dict[Waiting, float] = {}
        """Until when, in loop time; the one that has waited longest first."""
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, call: Waiting) -> None:
        if self._timer is None:
            loop = self._loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self.wait_s, self._ring)
        self._waiting[call] = self._loop.time() + self.wait_s

    def end(self, call: Waiting) -> bool:
        """``False``: it did not wait any more."""
        return self._waiting.pop(call, None) is not None

    def _ring(self) -> None:
        self._timer = None
        now = self._loop.time()
        for call, until in tuple(self._waiting.items()):
            if until > now:
                self._timer = self._loop.call_at(until, self._ring)
                return
            del self._waiting[call]
            call.settles_late()

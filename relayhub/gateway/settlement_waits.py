"""Calls that wait for their settlements without a task: all wait equally long at most, so one timer does for them."""

from __future__ import annotations

import asyncio
from typing import Protocol

import structlog

from relayhub.types.limits import SETTLEMENT_WAIT_S

log = structlog.get_logger("relayhub.call")


class Waiting(Protocol):
    def settles_late(self) -> None:
        """It has waited long enough. Must not raise."""
        ...


class SettlementWaits:
    """``wait_s``: how long each may wait. Use on one loop."""

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
        now = self._loop.time()
        late = [call for call, until in self._waiting.items() if until <= now]
        for call in late:
            del self._waiting[call]
        first = next(iter(self._waiting.values()), None)
        self._timer = None if first is None else self._loop.call_at(first, self._ring)
        for call in late:
            try:
                call.settles_late()
            except Exception:  # the others must hear of it too
                log.exception("settlement.unheard")

"""Streams whose client has not been told anything yet: all wait equally long at most, so one timer does for them."""

from __future__ import annotations

import asyncio
from typing import Protocol


class WaitsForHead(Protocol):
    def head_is_late(self) -> None:
        """It has waited long enough. Must not raise."""
        ...


class HeadWaits:
    """``wait_s``: how long each may wait. Use on one loop."""

    __slots__ = ("_loop", "_timer", "_waiting", "wait_s")
    _loop: asyncio.AbstractEventLoop

    def __init__(self, wait_s: float) -> None:
        self.wait_s = wait_s
        self._waiting: dict[WaitsForHead, float] = {}
        """Until when, in loop time; the one that has waited longest first."""
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, stream: WaitsForHead, now: float) -> None:
        """``now``: in loop time."""
        until = self._waiting[stream] = now + self.wait_s
        if self._timer is None:
            loop = self._loop = asyncio.get_running_loop()
            self._timer = loop.call_at(until, self._ring)

    def end(self, stream: WaitsForHead) -> None:
        """It need not be told any more. Idempotent."""
        self._waiting.pop(stream, None)

    def _ring(self) -> None:
        now = self._loop.time()
        late: list[WaitsForHead] = []
        first: float | None = None
        for stream, until in self._waiting.items():
            if until > now:
                first = until
                break
            late.append(stream)
        for stream in late:
            del self._waiting[stream]
        self._timer = None if first is None else self._loop.call_at(first, self._ring)
        for stream in late:
            stream.head_is_late()

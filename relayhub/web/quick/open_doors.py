"""The connections at the front door: one timer looks after all of them, so that none needs one of its own."""

from __future__ import annotations

import asyncio
from typing import Protocol

LOOKS = 16
"""In the time that a connection may be idle."""


class Closing(Protocol):
    """See :class:`relayhub.web.quick.door.QuickDoor`."""

    def close(self) -> None: ...
    def close_if_idle(self, since: float) -> None: ...


class OpenDoors:
    """``idle_s``: how long a client may be silent between two requests; it may be given a sixteenth more. Use on one loop."""

    __slots__ = ("_idle_s", "_open", "_timer")

    def __init__(self, idle_s: float) -> None:
        self._idle_s = idle_s
        self._open: set[Closing] = set()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, door: Closing) -> None:
        self._open.add(door)
        if self._timer is None:
            self._look_later()

    def discard(self, door: Closing) -> None:
        self._open.discard(door)

    def close(self) -> None:
        """The server ends."""
        for door in tuple(self._open):
            door.close()

    def _look_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._idle_s / LOOKS, self._look)

    def _look(self) -> None:
        self._timer = None
        since = asyncio.get_running_loop().time() - self._idle_s
        for door in tuple(self._open):
            door.close_if_idle(since)
        if self._open:
            self._look_later()

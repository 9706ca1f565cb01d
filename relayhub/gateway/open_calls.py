"""The calls that are under way, so that a shutdown can wait for them and, at its limit, cut them off truthfully."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from relayhub.types.errors import ErrorKind, HubError


class OpenCalls:
    """Registry of the tasks that are serving a call."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[object]] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        self.cut = False
        """The drain limit has passed: a cancellation is the hub's doing, not the client's."""

    def __len__(self) -> int:
        return len(self._tasks)

    @contextmanager
    def track(self) -> Iterator[None]:
        """Counts the current task as a call while the block runs; within another such block it changes nothing."""
        task = asyncio.current_task()
        assert task is not None
        if task in self._tasks:
            yield
            return
        self._tasks.add(task)
        self._empty.clear()
        try:
            yield
        finally:
            self._tasks.discard(task)
            if not self._tasks:
                self._empty.set()

    async def drain(self, limit_s: float) -> int:
        """Wait until no call is open; after ``limit_s`` cancel the rest. Returns how many had to be cut."""
        try:
            async with asyncio.timeout(limit_s):
                await self._empty.wait()
            return 0
        except TimeoutError:
            return await self.cut_off()

    async def cut_off(self) -> int:
        """Cancel what is still open and wait until it has told its client and settled. Returns how many there were."""
        self.cut = True
        rest = list(self._tasks)
        for task in rest:
            task.cancel()
        await self._empty.wait()
        return len(rest)

    def cancelled_by_hub(self) -> HubError | None:
        """What to tell the client of a cancelled call; ``None`` if it was the client who left."""
        if not self.cut:
            return None
        return HubError(
            ErrorKind.UNAVAILABLE,
            "The server is shutting down and had to end this answer early.",
            code="shutting_down",
        )

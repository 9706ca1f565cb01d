"""The calls that are under way, so that a shutdown can wait for them and, at its limit, cut them off truthfully."""

from __future__ import annotations

import asyncio
from typing import Protocol

from relayhub.types.errors import ErrorKind, HubError, RelayhubError


class Cancellable(Protocol):
    """A task, or what does without one."""

    def cancel(self) -> object: ...


class Tracked:
    """See :meth:`OpenCalls.track`."""

    __slots__ = ("_calls", "_fresh", "_key_id", "_task")
    _task: asyncio.Task[object]

    def __init__(self, calls: OpenCalls, key_id: str | None) -> None:
        self._calls = calls
        self._key_id = key_id
        self._fresh = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._fresh = self._calls.enter(task, self._key_id)

    def __exit__(self, *_: object) -> None:
        if self._fresh:
            self._calls.leave(self._task)


class OpenCalls:
    """Registry of what is serving a call: tasks, mostly."""

    def __init__(self) -> None:
        self._tasks: dict[Cancellable, str | None] = {}
        """With the key of each, once it is known."""
        self._reasons: dict[Cancellable, RelayhubError] = {}
        self._empty: asyncio.Event | None = None
        """For whoever waits until no call is open; nobody does while calls come."""
        self.cut = False
        """The drain limit has passed: a cancellation is the hub's doing, not the client's."""

    def __len__(self) -> int:
        return len(self._tasks)

    def track(self, key_id: str | None = None) -> Tracked:
        """For ``with``: counts the current task as a call of this key while the block runs; within another such block it
        only says whose call it is."""
        return Tracked(self, key_id)

    def enter(self, task: Cancellable, key_id: str | None) -> bool:
        """Whether it was not counted before."""
        fresh = task not in self._tasks
        self._tasks[task] = key_id
        if fresh and self._empty is not None:
            self._empty.clear()
        return fresh

    def leave(self, task: Cancellable) -> None:
        del self._tasks[task]
        if self._reasons:
            self._reasons.pop(task, None)
        if self._empty is not None and not self._tasks:
            self._empty.set()

    async def drain(self, limit_s: float) -> int:
        """Wait until no call is open; after ``limit_s`` cancel the rest. Returns how many had to be cut."""
        try:
            async with asyncio.timeout(limit_s):
                await self._emptied()
            return 0
        except TimeoutError:
            return await self.cut_off()

    async def cut_off(self) -> int:
        """Cancel what is still open and wait until it has told its client and settled. Returns how many there were."""
        self.cut = True
        rest = list(self._tasks)
        for task in rest:
            task.cancel()
        await self._emptied()
        return len(rest)

    async def _emptied(self) -> None:
        if self._empty is None:
            self._empty = asyncio.Event()
            if not self._tasks:
                self._empty.set()
        await self._empty.wait()

    def cut_key(self, key_id: str, reason: RelayhubError) -> int:
        """Cancel the open calls of a key; each tells its client ``reason`` and settles. Returns how many there were."""
        hit = [task for task, own in self._tasks.items() if own == key_id]
        for task in hit:
            self._reasons[task] = reason
            task.cancel()
        return len(hit)

    def cancelled_by_hub(self, call: Cancellable | None = None) -> RelayhubError | None:
        """What to tell the client of a cancelled call, by default the current task's; ``None`` if it was the client who
        left."""
        task = call or asyncio.current_task()
        if task is not None and task in self._reasons:
            return self._reasons[task]
        if not self.cut:
            return None
        return HubError(
            ErrorKind.UNAVAILABLE,
            "The server is shutting down and had to end this answer early.",
            code="shutting_down",
        )

"""Where the body of an answer goes, piece by piece."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

Take = Callable[[bytes], bool]
Express = Callable[[bytes, float], bool]
"""Is given a read that begins where a chunk may begin, and the loop's time. ``True``: it was exactly one chunk with data,
from its first byte to its last, and is done with; ``False``: nothing was done with it, and its data goes to ``take`` as
ever. Must not raise, nor end the reply."""


class Sink(Protocol):
    """Where a body goes. All of it is called by the event loop or from within ``pour`` and ``more``."""

    def take(self, data: bytes) -> bool:
        """A piece. ``False``: no further one, nor the end, before the reply's ``more``; or never, after its ``leave`` or
        ``abort``, which may be called in here. What this raises drops the connection and goes to :meth:`failed`."""
        ...

    def ended(self) -> None:
        """The body is complete, and its connection given back. Called at most once, then nothing else. Must not raise."""
        ...

    def failed(self, error: BaseException) -> None:
        """The body will not become complete: an ``UpstreamError``, or what :meth:`take` raised. Called at most once, then
        nothing else. Must not raise."""
        ...


class Pushing:
    """The sink of whoever waits for the end in a task: ``done`` says whether it was ``take`` that wanted no more."""

    __slots__ = ("_take", "done")

    def __init__(self, take: Take, done: asyncio.Future[bool]) -> None:
        self._take = take
        self.done = done

    def take(self, data: bytes) -> bool:
        more = self._take(data)
        if not more:
            self._tell(True)
        return more

    def ended(self) -> None:
        self._tell(False)

    def failed(self, error: BaseException) -> None:
        if not self.done.done():
            self.done.set_exception(error)

    def _tell(self, enough: bool) -> None:
        if not self.done.done():
            self.done.set_result(enough)

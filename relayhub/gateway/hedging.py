"""Asking a second upstream when the first takes long. The one whose answer begins first has won; the other is cut off, and is
paid for all the same, as its upstream will have read the request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TypeAlias

from relayhub.gateway.tally import Tally
from relayhub.types.errors import ErrorKind, HubError

Attempt: TypeAlias = "Coroutine[object, object, None]"


class Race:
    """At most two attempts at one call, each with a tally of its own."""

    def __init__(self) -> None:
        self._tasks: list[tuple[Tally, asyncio.Task[None]]] = []
        self.winner: Tally | None = None

    def start(self, tally: Tally, attempt: Attempt) -> None:
        tally.race = self
        self._tasks.append((tally, asyncio.create_task(attempt)))

    def claim(self, tally: Tally) -> None:
        """The answer of this attempt begins. Raises ``HubError``, which nobody is shown, if the other one's has begun."""
        if self.winner is None:
            self.winner = tally
            for other, task in self._tasks:
                if other is not tally:
                    task.cancel()
        elif self.winner is not tally:
            raise HubError(ErrorKind.INTERNAL, "The other answer came first.", code="hedge_lost")

    async def wait(self, timeout_s: float | None = None) -> None:
        """Until an attempt is over, or for so long."""
        pending = [task for _, task in self._tasks if not task.done()]
        if pending:
            await asyncio.wait(pending, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)

    @property
    def is_open(self) -> bool:
        """Nobody has won, and none has failed."""
        return self.winner is None and not any(task.done() for _, task in self._tasks)

    @property
    def is_over(self) -> bool:
        return all(task.done() for _, task in self._tasks)

    async def stop(self) -> None:
        for _, task in self._tasks:
            task.cancel()
        await asyncio.gather(*(task for _, task in self._tasks), return_exceptions=True)

    def result(self) -> None:
        """Raises what the winner raised, or the first attempt if nobody has won."""
        tasks = [task for tally, task in self._tasks if self.winner is None or tally is self.winner]
        tasks[0].result()


async def hedged(
    tally: Tally, attempt: Attempt, after_s: float, second: Callable[[], tuple[Tally, Attempt] | None]
) -> None:
    """Run ``attempt``, and after ``after_s`` without an answer ``second`` beside it, if that has one. Afterwards ``tally`` is
    the winner's. Raises what the attempts raise; cancelling it ends both."""
    race = Race()
    race.start(tally, attempt)
    try:
        await race.wait(after_s)
        if race.is_open and (other := second()) is not None:
            race.start(*other)
        while not race.is_over:
            await race.wait()
    finally:
        await race.stop()
        if race.winner is not None:
            tally.adopt(race.winner)
    race.result()

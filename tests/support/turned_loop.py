"""An event loop whose time goes by only when the test lets it: for timers of its own, which no clock of ours turns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from functools import wraps
from typing import ParamSpec

P = ParamSpec("P")

_SETTLE = 5
"""Rounds of the loop in which whatever is due happens, and what that begins."""


class TurnedLoop(asyncio.SelectorEventLoop):
    """Nothing may wait for time here but for what :func:`pass_by` lets pass."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._timers: list[asyncio.TimerHandle] = []

    def time(self) -> float:
        return self._now

    def call_at(
        self, when: float, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> asyncio.TimerHandle:
        timer = super().call_at(when, callback, *args, context=context)
        self._timers.append(timer)
        return timer

    def armed(self) -> list[float]:
        """When something will yet happen."""
        return [timer.when() for timer in self._timers if timer.when() > self._now and not timer.cancelled()]

    def advance(self, seconds: float) -> None:
        self._now += seconds


def turned_loop() -> TurnedLoop:
    """The one that runs."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, TurnedLoop)
    return loop


async def pass_by(seconds: float) -> None:
    """What becomes due happens late, where this passes by more than its moment."""
    turned_loop().advance(seconds)
    for _ in range(_SETTLE):
        await asyncio.sleep(0)


def in_turned_time(test: Callable[P, Coroutine[object, object, None]]) -> Callable[P, None]:
    """The test runs on such a loop. Whatever that complains of fails it."""

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        troubles: list[dict[str, object]] = []
        with asyncio.Runner(loop_factory=TurnedLoop) as runner:
            runner.get_loop().set_exception_handler(lambda _, context: troubles.append(context))
            runner.run(test(*args, **kwargs))
        assert troubles == []

    return run

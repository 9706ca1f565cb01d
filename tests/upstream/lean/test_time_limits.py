"""One timer for all who wait: each is still cancelled at a time of its own, and nobody else is."""

from __future__ import annotations

import asyncio
import gc
import weakref
from contextlib import suppress

import pytest

from relayhub.types.errors import UpstreamError
from relayhub.upstream.lean.connection import Connection
from relayhub.upstream.lean.dial import Dialler
from relayhub.upstream.lean.outgoing import Origin
from relayhub.upstream.lean.resolver import Address, Resolver
from relayhub.upstream.lean.time_limits import TimeLimits


async def limited(limits: TimeLimits, wait_s: float) -> float:
    """After how long it was cancelled; it ends by itself after a second."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    begun = loop.time()
    limits.begin(task, begun + wait_s)
    try:
        await asyncio.sleep(1)
    except asyncio.CancelledError:
        assert limits.end(task)
        assert not task.uncancel()
        return loop.time() - begun
    assert not limits.end(task)
    return 1.0


@pytest.mark.parametrize("waits_s", [(0.05, 0.1, 0.2), (0.2, 0.1, 0.05), (0.1, 0.1, 0.1), (0.2, 0.0, 0.1)])
async def test_each_is_cancelled_at_its_own_time(waits_s: tuple[float, ...]) -> None:
    limits = TimeLimits()
    took = await asyncio.gather(*(limited(limits, wait_s) for wait_s in waits_s))
    for taken, wait_s in zip(took, waits_s, strict=True):
        assert wait_s - 0.002 <= taken < wait_s + 0.5


async def test_whoever_is_done_in_time_is_not_cancelled_and_the_next_one_is() -> None:
    limits, loop = TimeLimits(), asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    limits.begin(task, loop.time() + 0.01)
    assert not limits.end(task)
    assert await limited(limits, 0.05) < 0.5
    assert not task.cancelling()
    assert await limited(limits, 5) == 1.0


class Slow(Resolver):
    """Never finds the address; ``stubborn``: and says so when it is no longer asked."""

    def __init__(self, *, stubborn: bool = False) -> None:
        super().__init__()
        self._stubborn = stubborn

    async def resolve(self, host: str) -> list[Address]:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            if self._stubborn:
                raise OSError("no such name") from None
            raise
        return []


def gone(_: Connection) -> None:
    """Nobody looks."""


ORIGIN = Origin(False, "h.test", 80)


@pytest.mark.parametrize("late", [False, True])
async def test_a_dial_that_is_cancelled_from_outside_says_so(late: bool) -> None:
    """Also where its limit passes in the same turn of the loop."""
    loop, dialler = asyncio.get_running_loop(), Dialler(None, Slow())
    task = loop.create_task(dialler.dial(ORIGIN, loop.time() + 5, gone))
    await asyncio.sleep(0)
    if late:
        assert dialler._limits._until.pop(task)
        task.cancel()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not dialler._limits._until


@pytest.mark.parametrize("stubborn", [False, True])
async def test_a_task_whose_dial_was_too_late_goes_on_as_if_it_had_never_been_cancelled(stubborn: bool) -> None:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    with pytest.raises(UpstreamError) as caught:
        await Dialler(None, Slow(stubborn=stubborn)).dial(ORIGIN, loop.time() + 0.02, gone)
    assert (caught.value.code, caught.value.delivered) == ("upstream_unreachable", False)
    assert ("connect limit" in (caught.value.detail or "")) is not stubborn
    assert task.cancelling() == 0
    await asyncio.sleep(0)


async def test_a_limit_that_has_passed_before_it_begins_is_kept() -> None:
    loop = asyncio.get_running_loop()
    with pytest.raises(UpstreamError):
        await Dialler(None, Slow()).dial(ORIGIN, loop.time() - 1, gone)


async def test_a_dial_that_was_cancelled_too_late_to_mind_leaves_its_task_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop, task, dialler, made = asyncio.get_running_loop(), asyncio.current_task(), Dialler(None, Slow()), object()

    async def stubborn(*_: object) -> object:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(10)
        return made

    monkeypatch.setattr(dialler, "_dial", stubborn)
    assert task is not None
    assert await dialler.dial(ORIGIN, loop.time() + 0.02, gone) is made
    assert task.cancelling() == 0


def test_on_a_second_loop_the_limits_are_kept_as_on_the_first() -> None:
    dialler = Dialler(None, Slow())

    async def dial(limit_s: float) -> None:
        await dialler.dial(ORIGIN, asyncio.get_running_loop().time() + limit_s, gone)

    async def leave_early() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(dial(0.05), 0.01)

    asyncio.run(leave_early())
    with pytest.raises(UpstreamError):
        asyncio.run(asyncio.wait_for(dial(0.2), 5))


async def test_a_failed_dial_keeps_nothing_of_its_task() -> None:
    """A request's body may be among it."""

    async def fails() -> None:
        await Dialler(None, Slow()).dial(ORIGIN, asyncio.get_running_loop().time() - 1, gone)

    gc.disable()
    try:
        task = asyncio.get_running_loop().create_task(fails())
        kept = weakref.ref(task)
        await asyncio.wait({task})
        assert isinstance(task.exception(), UpstreamError)
        del task
        await asyncio.sleep(0)
        assert kept() is None
    finally:
        gc.enable()

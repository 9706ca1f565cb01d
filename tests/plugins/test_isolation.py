"""Telling what a plugin raised from what was thrown into the task that called it."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Generator

import pytest
from structlog.testing import capture_logs

from relayhub.plugins.isolation import FAILURES_BEFORE_MUTED, SLOW_S, Isolation, is_own

ENDING = [SystemExit, KeyboardInterrupt, MemoryError, RecursionError, StopIteration, RuntimeError]


@pytest.mark.parametrize("kind", [*ENDING, asyncio.CancelledError, GeneratorExit])
async def test_what_is_raised_is_ones_own(kind: type[BaseException]) -> None:
    assert is_own(kind())


async def test_a_cancellation_from_outside_is_not() -> None:
    seen: list[bool] = []

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            seen.append(is_own(error))
            raise

    task = asyncio.create_task(waits())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == [False]


async def test_a_limit_that_passes_is_not() -> None:
    seen: list[bool] = []

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            seen.append(is_own(error))
            raise

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await waits()
    assert seen == [False]


def test_a_coroutine_that_is_thrown_away_is_not() -> None:
    seen: list[bool] = []

    async def waits() -> None:
        try:
            await suspended()
        except GeneratorExit as error:
            seen.append(is_own(error))
            raise

    @types.coroutine
    def suspended() -> Generator[None]:
        yield

    coroutine = waits()
    coroutine.send(None)
    coroutine.close()
    assert seen == [False]


def test_a_hook_that_holds_up_the_loop_is_muted_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter(range(1000))
    monkeypatch.setattr("relayhub.plugins.isolation.time.monotonic", lambda: next(times) * 2 * SLOW_S)
    called: list[None] = []
    isolation = Isolation()
    with capture_logs() as logs:
        for _ in range(FAILURES_BEFORE_MUTED + 2):
            isolation.call("slow", "hook", lambda: called.append(None))
    assert len(called) == FAILURES_BEFORE_MUTED
    assert [entry["muted"] for entry in logs] == [False] * (FAILURES_BEFORE_MUTED - 1) + [True]

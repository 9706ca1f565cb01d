"""Draining: open calls may finish; at the limit the rest are cut, and are told why."""

from __future__ import annotations

import asyncio

from relayhub.gateway.open_calls import OpenCalls


async def call(calls: OpenCalls, until: asyncio.Event, told: list[str]) -> None:
    with calls.track():
        try:
            await until.wait()
            told.append("finished")
        except asyncio.CancelledError:
            error = calls.cancelled_by_hub()
            told.append(error.code if error else "left")


async def test_nothing_open_drains_at_once() -> None:
    assert await OpenCalls().drain(0) == 0


async def test_a_drain_waits_for_open_calls() -> None:
    calls, until, told = OpenCalls(), asyncio.Event(), list[str]()
    task = asyncio.create_task(call(calls, until, told))
    await asyncio.sleep(0)
    draining = asyncio.create_task(calls.drain(10))
    await asyncio.sleep(0)
    assert not draining.done()
    until.set()
    assert await draining == 0
    await task
    assert told == ["finished"]


async def test_at_the_limit_the_rest_are_cut_and_know_why() -> None:
    calls, told = OpenCalls(), list[str]()
    tasks = [asyncio.create_task(call(calls, asyncio.Event(), told)) for _ in range(3)]
    await asyncio.sleep(0)
    assert await calls.drain(0) == 3
    await asyncio.gather(*tasks)
    assert told == ["shutting_down"] * 3


async def test_a_client_that_leaves_is_not_the_hubs_doing() -> None:
    calls, told = OpenCalls(), list[str]()
    task = asyncio.create_task(call(calls, asyncio.Event(), told))
    await asyncio.sleep(0)
    task.cancel()
    await task
    assert (told, len(calls)) == (["left"], 0)

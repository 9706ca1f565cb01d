"""The open calls of one key can be cut, and are told why; nobody else notices."""

from __future__ import annotations

import asyncio

from relayhub.gateway.open_calls import OpenCalls
from relayhub.store.refusals import revoked_key


async def call(calls: OpenCalls, key_id: str, until: asyncio.Event, told: list[tuple[str, str]]) -> None:
    with calls.track(), calls.track(key_id):
        try:
            await until.wait()
            told.append((key_id, "finished"))
        except asyncio.CancelledError:
            error = calls.cancelled_by_hub()
            told.append((key_id, error.code if error else "left"))


async def test_the_calls_of_a_revoked_key_are_cut_and_the_others_go_on() -> None:
    calls, until, told = OpenCalls(), asyncio.Event(), list[tuple[str, str]]()
    tasks = [asyncio.create_task(call(calls, key, until, told)) for key in ("bad", "good", "bad")]
    await asyncio.sleep(0)
    assert calls.cut_key("bad", revoked_key()) == 2
    await asyncio.gather(tasks[0], tasks[2])
    assert told == [("bad", "key_revoked")] * 2
    until.set()
    await tasks[1]
    assert told[-1] == ("good", "finished")
    assert calls.cut_key("bad", revoked_key()) == 0

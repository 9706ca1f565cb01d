"""The engine's own loops: whatever breaks in one turn, the next one comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import structlog

from relayhub.jobs.engine import TURN_S
from relayhub.store.engine import Engine
from relayhub.store.jobs import LEASE_S
from relayhub.types.errors import ErrorKind, HubError
from relayhub.types.http import Deadlines, HttpRequest
from relayhub.types.media import JobState
from tests.jobs.bench import Bench, Reply, open_bench
from tests.support.turned_clock import TurnedClock


async def until(holds: Callable[[], Awaitable[bool]], bench: Bench, seconds: float = 1.0) -> None:
    """Let time go by in steps, as fast as the machine follows."""
    async with asyncio.timeout(20):
        while not await holds():
            bench.clock.advance(seconds)
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("loop", ["turn", "sweep"])
async def test_a_turn_that_breaks_is_not_the_last_one(bench: Bench, monkeypatch: pytest.MonkeyPatch, loop: str) -> None:
    turns = 0

    async def breaks() -> int:
        nonlocal turns
        turns += 1
        raise RuntimeError("a row that nobody can read")

    async def again() -> bool:
        return turns >= 3

    monkeypatch.setattr(bench.engine, loop, breaks)
    async with bench.engine.running():
        await until(again, bench, 30.0)


async def test_leases_are_renewed_after_a_renewal_that_broke(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = 0

    async def breaks(_now: float) -> int:
        nonlocal tries
        tries += 1
        raise RuntimeError("out of connections")

    async def again() -> bool:
        return tries >= 3

    async with bench.engine.running():
        monkeypatch.setattr(type(bench.jobs), "free_dead", lambda _self, now: breaks(now))
        await until(again, bench, 5.0)


async def test_messages_to_clients_go_on_after_a_turn_that_broke(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = 0

    async def breaks(*_: object) -> None:
        nonlocal turns
        turns += 1
        raise RuntimeError("out of connections")

    async def again() -> bool:
        return turns >= 3

    monkeypatch.setattr(type(bench.jobs), "due_webhooks", breaks)
    async with bench.engine.running():
        await until(again, bench, 1.0)


async def test_a_job_that_is_still_being_looked_at_is_not_looked_at_twice(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lease can lapse under it while the store does not answer."""
    job = await bench.submit()
    looks, go_on = 0, asyncio.Event()

    async def slow(_self: object, _job: object) -> None:
        nonlocal looks
        looks += 1
        await go_on.wait()

    monkeypatch.setattr(type(bench.engine._looking), "look", slow)
    bench.clock.advance(10)
    assert await bench.engine.turn() == 1
    (task,) = [task for task, _ in bench.engine._looks.values()]
    bench.clock.advance(60)
    await bench.engine.turn()
    await asyncio.sleep(0)
    assert looks == 1
    assert [one for one, _ in bench.engine._looks.values()] == [task], "the first one is still known"
    assert job.id in bench.engine._looks
    go_on.set()
    await bench.engine.settle_looks()


async def test_a_look_that_the_store_fails_comes_again_later_and_not_as_soon_as_its_lease_ends(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await bench.submit()
    looks = 0

    async def no_room(_self: object, _job: object) -> None:
        nonlocal looks
        looks += 1
        raise HubError(ErrorKind.UNAVAILABLE, "no room", code="result_not_stored")

    monkeypatch.setattr(type(bench.engine._looking), "look", no_room)
    for _ in range(60):
        await bench.turn(60)
    assert 5 < looks < 25
    found = await bench.now(job)
    assert found.state is JobState.QUEUED
    assert found.poll_errors == looks


class Gate:
    """Holds every request back until it is opened."""

    def __init__(self, bench: Bench) -> None:
        self.arrived, self.open = asyncio.Event(), asyncio.Event()
        self._inner = bench.transport.send
        bench.transport.send = self.send  # type: ignore[method-assign,assignment]

    @asynccontextmanager
    async def send(self, request: HttpRequest, deadlines: Deadlines) -> AsyncIterator[Reply]:
        self.arrived.set()
        await self.open.wait()
        async with self._inner(request, deadlines) as reply:
            yield reply


async def test_what_is_being_sent_stays_this_processs_own_while_it_ends(bench: Bench) -> None:
    gate, leave = Gate(bench), asyncio.Event()

    async def run() -> None:
        async with bench.engine.running():
            await leave.wait()

    running = asyncio.create_task(run())
    client = asyncio.create_task(bench.submit())
    await gate.arrived.wait()
    leave.set()
    await asyncio.sleep(0)

    async def outlived() -> bool:
        return await bench.jobs.due(began + LEASE_S + 5) == {}

    began = bench.clock.now()
    await until(outlived, bench, 3.0)
    gate.open.set()
    assert (await client).state is JobState.QUEUED
    await running


async def test_a_failure_that_nobody_waits_for_any_more_is_logged(bench: Bench) -> None:
    gate = Gate(bench)
    bench.transport.reachable = False
    client = asyncio.create_task(bench.submit())
    await gate.arrived.wait()
    client.cancel()
    await asyncio.gather(client, return_exceptions=True)
    with structlog.testing.capture_logs() as logs:
        gate.open.set()
        await asyncio.wait(bench.engine._paid)
    assert "job.failed_unheard" in [entry["event"] for entry in logs]


@asynccontextmanager
async def at_work(tmp_path: Path) -> AsyncIterator[tuple[Bench, TurnedClock]]:
    """An engine whose start is over, so that from then on nothing but the clock moves it."""
    clock = TurnedClock()
    async with open_bench(tmp_path, clock=clock) as bench, bench.engine.running():
        async with asyncio.timeout(20):
            while clock.sleepers < 4:  # turns, messages, sweeps, leases
                await asyncio.sleep(0.01)
        yield bench, clock


async def test_an_engine_without_jobs_wakes_once_for_all_its_looks_and_asks_nothing_of_the_pool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    async with at_work(tmp_path) as (_, clock):
        for way in ("reading", "writing"):
            monkeypatch.setattr(Engine, way, lambda _self, way=way: asked.append(way))
        await clock.pass_by(30.0)
        assert len({round(moment, 2) for moment in clock.wakes}) <= 30 / TURN_S + 1
        monkeypatch.undo()
    assert asked == []

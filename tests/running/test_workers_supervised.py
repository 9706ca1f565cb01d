"""The supervisor alone, with processes that go as the test says."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from relayhub.running import supervisor as module
from relayhub.running.board import make_board
from relayhub.running.post import Post
from relayhub.running.supervisor import MOST_STRIKES, Rolled, Supervisor, WorkersFailed
from relayhub.sdk.clock import SystemClock
from relayhub.types.json import JsonObject

FAKE = Path(__file__).with_name("fake_worker.py")
COMES_ABOUT_S = 20.0


@dataclass
class Hurried:
    """Time as it is, but nobody waits for long."""

    def now(self) -> float:
        return SystemClock().now()

    def monotonic(self) -> float:
        return SystemClock().monotonic()

    async def sleep(self, seconds: float) -> None:
        await SystemClock().sleep(min(seconds, 0.01))


@dataclass
class Bench:
    folder: Path
    supervisor: Supervisor
    greeted: asyncio.Event
    running: asyncio.Task[int]

    def plan(self, number: int, plan: str) -> None:
        (self.folder / f"plan.{number}").write_text(plan)

    def begun(self) -> Counter[str]:
        return Counter((self.folder / "begun").read_text().split())

    async def comes_about(self, condition: object) -> None:
        assert callable(condition)
        async with asyncio.timeout(COMES_ABOUT_S):
            while not condition():
                await SystemClock().sleep(0.01)

    def pid(self, number: int) -> int:
        worker = self.supervisor.slots[number - 1].serving
        assert worker is not None
        return worker.pid


@asynccontextmanager
async def supervised(folder: Path, *plans: str, drain_s: float = 5.0) -> AsyncIterator[Bench]:
    for number, plan in enumerate(plans, 1):
        (folder / f"plan.{number}").write_text(plan)
    board = make_board(len(plans))
    with (folder / "log").open("w") as log:
        supervisor = Supervisor(
            [sys.executable, str(FAKE), str(folder)],
            lambda number: Post(number, len(plans), -1, board.descriptor, log.fileno()),
            len(plans),
            board,
            Hurried(),
            lambda: drain_s,
        )
        greeted = asyncio.Event()

        async def greet(_said: JsonObject) -> None:
            greeted.set()

        running = asyncio.create_task(supervisor.run(greet))
        try:
            yield Bench(folder, supervisor, greeted, running)
        finally:
            supervisor.stop()
            await asyncio.gather(running, return_exceptions=True)
            os.close(board.descriptor)


async def test_it_says_where_it_listens_once_all_serve(tmp_path: Path) -> None:
    async with supervised(tmp_path, "serves", "serves", "serves") as bench:
        await asyncio.wait_for(bench.greeted.wait(), COMES_ABOUT_S)
        assert bench.begun() == {"1": 1, "2": 1, "3": 1}
        bench.supervisor.stop()
        assert await bench.running == 0


async def test_a_worker_that_cannot_begin_ends_the_start(tmp_path: Path) -> None:
    async with supervised(tmp_path, "serves", "dies") as bench:
        with pytest.raises(WorkersFailed, match="worker 2 ended before it served") as failed:
            await bench.running
        assert failed.value.status == 7
        assert not bench.greeted.is_set()
        assert bench.begun()["2"] == 1


async def test_a_worker_that_dies_is_replaced_and_the_others_stay(tmp_path: Path) -> None:
    async with supervised(tmp_path, "serves", "serves") as bench:
        await bench.greeted.wait()
        stays, killed = bench.pid(1), bench.pid(2)
        os.kill(killed, signal.SIGKILL)
        await bench.comes_about(lambda: bench.supervisor.slots[1].serving and bench.pid(2) != killed)
        assert bench.pid(1) == stays
        assert [slot.restarts for slot in bench.supervisor.slots] == [0, 1]


async def test_while_one_serves_the_others_are_tried_again_and_again(tmp_path: Path) -> None:
    async with supervised(tmp_path, "serves", "serves") as bench:
        await bench.greeted.wait()
        bench.plan(2, "dies")
        os.kill(bench.pid(2), signal.SIGKILL)
        await bench.comes_about(lambda: bench.begun()["2"] > MOST_STRIKES + 2)
        bench.plan(2, "serves")
        await bench.comes_about(lambda: bench.supervisor.slots[1].serving)
        assert not bench.running.done()


async def test_it_gives_up_when_none_stays_alive(tmp_path: Path) -> None:
    async with supervised(tmp_path, "serves", "serves") as bench:
        await bench.greeted.wait()
        for number in (1, 2):
            bench.plan(number, "dies")
            os.kill(bench.pid(number), signal.SIGKILL)
        with pytest.raises(WorkersFailed, match="no worker stays alive"):
            await bench.running


def test_pauses_grow_and_have_an_end() -> None:
    pauses = [module.pause_s(strikes) for strikes in range(12)]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (module.FIRST_PAUSE_S, module.LONGEST_PAUSE_S)


async def test_a_reload_stops_at_the_first_that_refuses(tmp_path: Path) -> None:
    async with supervised(tmp_path, "serves", "refuses", "serves") as bench:
        await bench.greeted.wait()
        rolled = await bench.supervisor.reload()
        assert (rolled.done, rolled.stopped_at, rolled.why) == ((1,), 2, "no, thank you")


async def test_a_reload_leaves_out_whoever_is_being_replaced(tmp_path: Path) -> None:
    async with supervised(tmp_path, "serves", "serves") as bench:
        await bench.greeted.wait()
        bench.plan(1, "dies")
        os.kill(bench.pid(1), signal.SIGKILL)
        await bench.comes_about(lambda: bench.supervisor.slots[0].serving is None)
        assert (await bench.supervisor.reload()).done == (2,)


async def test_a_worker_that_does_not_answer_is_said_to_be_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ASK_S", 0.2)
    monkeypatch.setattr(module, "RELOAD_S", 0.2)
    async with supervised(tmp_path, "is deaf", "serves") as bench:
        await bench.greeted.wait()
        states = [status["state"] for status in await bench.supervisor.statuses()]
        assert states == ["silent", "serving"]
        rolled = await bench.supervisor.reload()
        assert rolled == Rolled((), (), 1, "worker 1 did not answer within 0.2 s")


async def test_a_late_answer_is_not_taken_for_the_next_one(tmp_path: Path) -> None:
    async with supervised(tmp_path, "serves") as bench:
        await bench.greeted.wait()
        worker = bench.supervisor.slots[0].serving
        assert worker is not None
        given_up = asyncio.create_task(worker.ask("reload", 5))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.gather(given_up, return_exceptions=True)
        assert worker.owed == 1
        assert await worker.ask("status", 5) == {"ok": True, "problems": ""}
        assert worker.owed == 0


async def test_whoever_does_not_end_in_time_is_killed(tmp_path: Path) -> None:
    async with supervised(tmp_path, "serves", "serves", drain_s=0.1) as bench:
        await bench.greeted.wait()
        os.kill(bench.pid(1), signal.SIGSTOP)
        bench.supervisor.stop()
        assert await asyncio.wait_for(bench.running, COMES_ABOUT_S) == 1

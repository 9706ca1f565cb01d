"""Jobs looked after by two workers: each is asked about as often as by one, ends once, and is told of once."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from aiohttp import ClientSession, web

from relayhub.testing import Answer, Fate, JobStep, Recorded, Wait
from relayhub_seedance.simulator import ArkSimulator
from tests.support.workers import Workers, workers

JOBS = 30
ANSWER_S = 0.7
"""How long the upstream thinks before it answers a question: time enough for another worker to ask it too."""
PRICE_NANO, SECONDS = 10_000_000, 5
ENDS_WITHIN_S = 60.0

CONFIG = """
server: {{drain_s: 5}}
store: {{path: hub.db}}
media: {{private_hosts: [localhost]}}
providers:
  ark:
    type: seedance
    base_url: {url}/api/v3
    api_key: ark-key
    poll: {{first_s: 1, every_s: 1}}
    models:
      film: {{upstream: doubao-seedance-2-0-260128, operations: [video], price: {{video: {{"*": "0.01"}}}}}}
"""

pytestmark = pytest.mark.timeout(150)


class TimedArk(ArkSimulator):
    """Notes when each job was asked about, and takes its time to answer."""

    def __init__(self) -> None:
        super().__init__(fate=Fate(queue_s=2, run_s=4))
        self.asked_at: defaultdict[str, list[float]] = defaultdict(list)

    def answer(self, request: Recorded) -> Answer:
        if self.step(request) is JobStep.POLL:
            self.asked_at[request.path.rpartition("/")[2]].append(time.monotonic())
            return replace(super().answer(request), before=(Wait(ANSWER_S),))
        return super().answer(request)

    def asked_meanwhile(self) -> list[float]:
        """Seconds between two questions about the same job, the second of which came before the first was answered."""
        gaps = [later - at for asked in self.asked_at.values() for at, later in pairwise(asked)]
        return [gap for gap in gaps if gap < ANSWER_S]


@asynccontextmanager
async def ear(heard: Counter[str]) -> AsyncIterator[str]:
    """An address for messages, which counts those that come, by job."""

    async def hear(request: web.BaseRequest) -> web.Response:
        heard[str((await request.json())["job_id"])] += 1
        return web.Response()

    runner = web.ServerRunner(web.Server(hear))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://localhost:{runner.addresses[0][1]}/hook"
    finally:
        await runner.cleanup()


async def submit(hub: Workers, told: str) -> None:
    """All at once, each over a connection of its own, so that both workers get some."""

    async def one(session: ClientSession, number: int) -> None:
        body = {"model": "film", "prompt": f"film {number}", "seconds": str(SECONDS), "callback_url": told}
        async with session.post(f"{hub.server.url}/v1/videos", json=body) as answer:
            assert answer.status == 200, await answer.text()

    async with ClientSession(headers={"authorization": f"Bearer {hub.key}"}) as session:
        await asyncio.gather(*(one(session, number) for number in range(JOBS)))


def states(hub: Workers) -> Counter[str]:
    rows = hub.server.rows("SELECT state, count(*) AS n FROM jobs GROUP BY state")
    return Counter({str(row["state"]): int(str(row["n"])) for row in rows})


def check(hub: Workers, upstream: TimedArk) -> None:
    """Each was made once, and paid for once."""
    assert sorted(upstream.executions.values()) == [1] * JOBS
    assert hub.held() == 0
    assert hub.server.rows("SELECT used_nano FROM accounts") == [{"used_nano": JOBS * SECONDS * PRICE_NANO}]
    hub.check_books()


async def test_a_job_is_asked_about_by_one_worker_at_a_time(home: Path) -> None:
    upstream, heard = TimedArk(), Counter[str]()
    with upstream.in_thread() as url, workers(home, CONFIG.format(url=url)) as hub:
        async with ear(heard) as told:
            await submit(hub, told)
            assert len(hub.server.rows("SELECT DISTINCT lease_owner FROM jobs WHERE lease_owner IS NOT NULL")) == 2
            await hub.comes_about(lambda: states(hub) == {"succeeded": JOBS}, ENDS_WITHIN_S)
            await hub.comes_about(lambda: len(heard) == JOBS, ENDS_WITHIN_S)
        assert set(heard.values()) == {1}, "each was told of once"
        assert len(upstream.asked_at) == JOBS
        assert sum(map(len, upstream.asked_at.values())) >= 3 * JOBS
        assert upstream.asked_meanwhile() == []
        check(hub, upstream)


async def test_the_jobs_of_a_worker_that_was_killed_are_looked_after_by_the_other(home: Path) -> None:
    upstream, heard = TimedArk(), Counter[str]()
    with upstream.in_thread() as url, workers(home, CONFIG.format(url=url)) as hub:
        async with ear(heard) as told:
            await submit(hub, told)
            os.kill(hub.pids()[1], signal.SIGKILL)
            await hub.comes_about(lambda: states(hub) == {"succeeded": JOBS}, ENDS_WITHIN_S)
            await hub.comes_about(lambda: len(heard) == JOBS, ENDS_WITHIN_S)
        check(hub, upstream)

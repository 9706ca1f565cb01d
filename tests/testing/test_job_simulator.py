"""The base for simulators of jobs: time, faults, links and counts are what a test says they are."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from relayhub.sdk import Effect, HttpReply, HttpRequest
from relayhub.testing import Answer, Cut, FakeClock, Fate, Fault, Hang, JobStep, SimulatedState, Wait
from tests.testing.toy_media import KEY, ToySimulator

HEADERS = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}


def ask(upstream: ToySimulator, method: str, path: str, **body: object) -> HttpReply:
    sent = json.dumps(body).encode() if body else b""
    return upstream.exchange(HttpRequest(method, f"https://toy.example{path}", HEADERS, sent, Effect.PAID))


def submit(upstream: ToySimulator, ref: str = "r1") -> HttpReply:
    return ask(upstream, "POST", "/jobs", ref=ref, seconds=5)


def submitted(upstream: ToySimulator, ref: str = "r1") -> str:
    return str(json.loads(submit(upstream, ref).body)["id"])


def state(upstream: ToySimulator, id_: str) -> SimulatedState:
    return upstream.state(upstream.jobs[id_])


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def upstream(clock: FakeClock) -> ToySimulator:
    return ToySimulator(clock=clock, link_s=100, record_s=1000)


def test_a_job_moves_on_by_the_clock(upstream: ToySimulator, clock: FakeClock) -> None:
    upstream.foretell(Fate(queue_s=5, run_s=10), Fate(run_s=math.inf))
    first, second = submitted(upstream), submitted(upstream, "r2")
    seen = []
    for _ in range(4):
        seen.append(state(upstream, first))
        clock.advance(5)
    assert seen == [SimulatedState.QUEUED, *[SimulatedState.RUNNING] * 2, SimulatedState.SUCCEEDED]
    assert upstream.changed_at(upstream.jobs[first]) == upstream.jobs[first].created_at + 15
    assert state(upstream, second) is SimulatedState.RUNNING


def test_only_submits_are_executions_and_they_are_counted_by_handle(upstream: ToySimulator) -> None:
    id_ = submitted(upstream)
    submitted(upstream)
    ask(upstream, "GET", f"/jobs/{id_}")
    ask(upstream, "GET", "/jobs?ref=r1")
    assert (upstream.counters.requests, upstream.counters.executions) == (4, 2)
    assert upstream.executions == {"r1": 2}
    assert upstream.steps == {JobStep.SUBMIT: 2, JobStep.POLL: 1, JobStep.LIST: 1}


def test_a_paid_call_that_is_answered_at_once_is_one_execution(upstream: ToySimulator) -> None:
    assert ask(upstream, "POST", "/images", prompt="A fox", count=1).status == 200
    assert upstream.counters.executions == 1


@pytest.mark.parametrize("executed", [False, True])
def test_a_fault_comes_before_or_after_the_work(upstream: ToySimulator, executed: bool) -> None:
    upstream.inject(Fault(502, executed=executed))
    assert submit(upstream).status == 502
    assert (len(upstream.jobs), upstream.counters.executions) == (executed, executed)
    assert submit(upstream).status == 200


def test_a_fault_waits_for_its_step(upstream: ToySimulator) -> None:
    upstream.inject(Fault(503, step=JobStep.POLL), Fault(Answer.json({"odd": True})))
    assert json.loads(submit(upstream).body) == {"odd": True}
    id_ = submitted(upstream)
    assert [ask(upstream, "GET", f"/jobs/{id_}").status for _ in range(2)] == [503, 200]


def test_without_a_network_a_break_is_an_exception(upstream: ToySimulator) -> None:
    upstream.inject(Fault(Cut(), executed=True), Fault(Hang()), Fault(Wait(9)))
    with pytest.raises(ConnectionResetError):
        submit(upstream)
    with pytest.raises(TimeoutError):
        submit(upstream)
    assert submit(upstream).status == 200
    assert upstream.counters.executions == 2


def test_results_expire(upstream: ToySimulator, clock: FakeClock) -> None:
    id_ = submitted(upstream)
    clock.advance(60)
    link = upstream.link(upstream.jobs[id_])
    published = upstream.publish(Answer(body=b"image"), "a b.png")
    fetched = [upstream.exchange(HttpRequest("GET", url, effect=Effect.NONE)) for url in (link, published)]
    assert [reply.status for reply in fetched] == [200, 200]
    assert fetched[0].headers["content-type"] == "video/mp4"
    assert fetched[1].body == b"image"
    clock.advance(100)
    gone = [upstream.exchange(HttpRequest("GET", url, effect=Effect.NONE)).status for url in (link, published)]
    assert gone == [403, 403]
    assert not upstream.complaints


def test_a_credential_that_goes_to_a_result_is_heard_of(upstream: ToySimulator) -> None:
    id_ = submitted(upstream)
    upstream.exchange(HttpRequest("GET", upstream.link(upstream.jobs[id_]), HEADERS, effect=Effect.NONE))
    assert any("credential" in complaint for complaint in upstream.complaints)


def test_records_go_after_their_time_and_what_is_forgotten_at_once(upstream: ToySimulator, clock: FakeClock) -> None:
    first, second = submitted(upstream), submitted(upstream, "r2")
    assert [job.id for job in upstream.listing()] == [second, first]
    upstream.forget(upstream.jobs[second])
    assert upstream.by_handle("r2") is None
    clock.advance(1000)
    assert upstream.known(first) is None
    assert not upstream.listing()


def test_only_so_many_run_at_once(clock: FakeClock) -> None:
    upstream = ToySimulator(clock=clock, at_once=1, fate=Fate(queue_s=1, run_s=10))
    ids = [submitted(upstream, f"r{number}") for number in range(3)]
    upstream.cancel(upstream.jobs[ids[1]])
    clock.advance(5)
    states = [SimulatedState.RUNNING, SimulatedState.CANCELLED, SimulatedState.QUEUED]
    assert [state(upstream, id_) for id_ in ids] == states
    assert upstream.unfinished() == 2
    clock.advance(10)
    assert state(upstream, ids[2]) is SimulatedState.RUNNING


def test_a_job_may_expire(upstream: ToySimulator, clock: FakeClock) -> None:
    upstream.foretell(Fate(run_s=math.inf))
    job = upstream.accept({}, handle="r1", expires_s=60)
    clock.advance(61)
    assert upstream.state(job) is SimulatedState.EXPIRED
    assert upstream.changed_at(job) == job.created_at + 60


@pytest.fixture
async def hook() -> AsyncIterator[tuple[str, list[object]]]:
    heard: list[object] = []

    async def hear(request: web.BaseRequest) -> web.Response:
        heard.append(await request.json())
        return web.Response(status=204)

    runner = web.ServerRunner(web.Server(hear))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook", heard
    await runner.cleanup()


async def test_a_job_calls_back_when_the_test_says_so(
    upstream: ToySimulator, clock: FakeClock, hook: tuple[str, list[object]]
) -> None:
    url, heard = hook
    job = upstream.accept({}, handle="r1", callback_url=url)
    assert await upstream.call_back(job) == 204
    clock.advance(60)
    await upstream.call_back(job)
    assert heard == [{"id": job.id, "status": "queued"}, {"id": job.id, "status": "succeeded"}]


async def test_it_serves_real_http_with_breaks(upstream: ToySimulator) -> None:
    async with upstream.serving() as url, aiohttp.ClientSession() as session:
        upstream.inject(Fault(Cut(), executed=True))
        with pytest.raises(aiohttp.ClientError):
            await session.post(f"{url}/jobs", headers=HEADERS, data=b'{"ref": "r1", "seconds": 5}')
        assert upstream.counters.executions == 1
        (job,) = upstream.jobs.values()
        async with session.get(upstream.link(job)) as reply:
            assert (await reply.read()).startswith(b"\0\0\0\x18ftyp")

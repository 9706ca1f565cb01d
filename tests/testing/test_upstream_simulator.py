"""The simulator's counts are the truth, its strictness is heard, and its pauses are the test's to end."""

from __future__ import annotations

import asyncio
import io
import urllib.error
import urllib.request
from collections.abc import AsyncIterator

import aiohttp
import pytest

from relayhub.testing import Answer, Cut, FakeClock, Gate, Hang, Recorded, UpstreamSimulator, Wait


class Parrot(UpstreamSimulator):
    def answer(self, request: Recorded) -> Answer:
        if request.path != "/say":
            return Answer.json({"error": "no such path"}, 404)
        return Answer.json({"said": request.json()["say"]}, x_parrot="yes")


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def test_requests_are_answered_recorded_and_counted(client: aiohttp.ClientSession) -> None:
    parrot = Parrot()
    async with parrot.serving() as url:
        async with client.post(f"{url}/say?loud=1", json={"say": "hello"}, headers={"X-Key": "k"}) as reply:
            assert (await reply.json(), reply.headers["x-parrot"]) == ({"said": "hello"}, "yes")
        async with client.get(f"{url}/elsewhere") as reply:
            assert reply.status == 404
        await parrot.until(lambda counters: counters.open == 0)
    first = parrot.requests[0]
    assert (first.method, first.path, first.query, first.headers["x-key"]) == ("POST", "/say", "loud=1", "k")
    counters = parrot.counters
    assert (counters.requests, counters.executions, counters.aborts) == (2, 1, 0)
    assert (counters.bytes_received, counters.bytes_sent) == (
        len(first.body),
        len(b'{"said":"hello"}{"error":"no such path"}'),
    )


async def test_programmed_answers_come_first_and_in_order(client: aiohttp.ClientSession) -> None:
    parrot = Parrot()
    parrot.program(Answer.json({}, 503, retry_after="2"), Answer.json({}, 500))
    async with parrot.serving() as url:
        seen = []
        for _ in range(3):
            async with client.post(f"{url}/say", json={"say": "x"}) as reply:
                seen.append((reply.status, reply.headers.get("retry-after")))
    assert seen == [(503, "2"), (500, None), (200, None)]
    assert parrot.counters.executions == 1


async def test_what_a_failing_answer_executed_can_be_said(client: aiohttp.ClientSession) -> None:
    parrot = Parrot()
    parrot.program(Answer(status=502, executed=True))
    async with parrot.serving() as url, client.post(f"{url}/say", json={"say": "x"}):
        pass
    assert parrot.counters.executions == 1


async def test_a_large_request_is_taken_whole(client: aiohttp.ClientSession) -> None:
    parrot = Parrot()
    large = io.BytesIO(b'{"say": "' + b"x" * (3 << 20) + b'"}')
    async with parrot.serving() as url, client.post(f"{url}/say", data=large) as reply:
        assert len(await reply.read()) > 3 << 20


async def test_a_gate_holds_the_rest_of_an_answer(client: aiohttp.ClientSession) -> None:
    parrot, gate = Parrot(), Gate()
    parrot.program(Answer(body=[b"one", gate, b"two"]))
    async with parrot.serving() as url, client.get(url) as reply:
        assert await reply.content.readany() == b"one"
        assert parrot.counters.bytes_sent == 3
        parrot.open(gate)
        assert await reply.read() == b"two"


async def test_waiting_is_by_the_clock(client: aiohttp.ClientSession) -> None:
    clock = FakeClock()
    parrot = Parrot(clock=clock)
    parrot.program(Answer(body=[b"a", Wait(30), b"b"], before=[Wait(60)]))
    async with parrot.serving() as url, client.get(url) as reply:
        assert await reply.read() == b"ab"
    assert clock.slept == [60, 30]


@pytest.mark.parametrize("answer", [Answer(body=[b"half", Cut()]), Answer(before=[Cut()])])
async def test_a_cut_answer_has_no_end(client: aiohttp.ClientSession, answer: Answer) -> None:
    parrot = Parrot()
    parrot.program(answer)
    async with parrot.serving() as url:
        with pytest.raises(aiohttp.ClientError):
            async with client.post(url, json={}) as reply:
                await reply.read()
        await parrot.until(lambda counters: counters.open == 0)


async def test_an_answer_that_is_left_is_an_abort(client: aiohttp.ClientSession) -> None:
    parrot = Parrot()
    parrot.program(Answer(body=[b"half", Hang()]))
    async with parrot.serving() as url:
        async with client.get(url) as reply:
            await reply.content.readany()
            assert parrot.counters.aborts == 0
            reply.close()
        await parrot.until(lambda counters: counters.aborts == 1)
    assert (parrot.counters.executions, parrot.counters.open) == (1, 0)


@pytest.mark.parametrize(
    ("headers", "body", "complaint"),
    [
        ({"cookie": "a=b"}, b"", "header cookie"),
        ({"x-key": "sk_live_secret"}, b"", "must not arrive"),
        ({}, b'{"say": "sk_live_secret"}', "must not arrive"),
        ({"content-type": "application/json"}, b"[1]", "cannot be read"),
    ],
)
async def test_what_an_upstream_should_not_see_fails_the_test(
    client: aiohttp.ClientSession, headers: dict[str, str], body: bytes, complaint: str
) -> None:
    parrot = Parrot(forbidden=["sk_live_secret"])
    with pytest.raises(AssertionError, match=complaint):
        async with parrot.serving() as url, client.post(f"{url}/say", data=body, headers=headers):
            pass


async def test_waiting_for_what_never_comes_is_bounded() -> None:
    parrot = Parrot()
    async with parrot.serving():
        with pytest.raises(AssertionError, match="did not come about"):
            await parrot.until(lambda counters: counters.requests > 0, within_s=0.01)


def ask_in_vain(url: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(url, timeout=10)
    caught.value.close()


def test_a_thread_of_its_own_serves_other_processes() -> None:
    parrot = Parrot()
    with parrot.in_thread() as url:
        ask_in_vain(f"{url}/nowhere")
        parrot.wait_for(lambda counters: counters.open == 0)
    assert parrot.counters.requests == 1


def test_complaints_are_heard_from_the_thread_too() -> None:
    parrot = Parrot(forbidden=["secret"])
    with pytest.raises(AssertionError, match="must not arrive"), parrot.in_thread() as url:
        ask_in_vain(f"{url}/secret")


async def test_leaving_ends_answers_that_hang(client: aiohttp.ClientSession) -> None:
    parrot = Parrot()
    parrot.program(Answer(body=[b"half", Hang()]))
    async with asyncio.timeout(5), parrot.serving() as url:
        reply = await client.get(url)
    reply.close()
    assert parrot.counters.open == 0

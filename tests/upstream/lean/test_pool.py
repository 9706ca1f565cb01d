"""How many connections there are, who gets one, and that none is ever lost from the count."""

from __future__ import annotations

import asyncio
import random

from relayhub.types.http import Deadlines
from relayhub.upstream.lean.dial import Dialler
from relayhub.upstream.lean.outgoing import target_of
from relayhub.upstream.lean.pool import Pool
from relayhub.upstream.lean.resolver import Resolver
from relayhub.upstream.lean.transport import LeanTransport
from relayhub.upstream.options import NetworkOptions
from tests.support.raw_upstream import RawUpstream, Script, answer_then_close, http, raw_upstream
from tests.upstream.lean.sending import PATIENT, failure, post, until

OK = http(b"{}")


def limited(limit: int) -> LeanTransport:
    return LeanTransport(NetworkOptions(max_connections=limit), "relayhub/test")


def gated(gate: asyncio.Event) -> Script:
    """Answers every request of its connection once the gate is open."""

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await gate.wait()
            writer.write(OK)
            await reader.readuntil(b"{}")

    return run


async def test_at_the_limit_requests_wait_for_a_connection_and_use_it_in_turn() -> None:
    transport, gate = limited(2), asyncio.Event()
    async with raw_upstream(gated(gate)) as upstream:
        posts = [asyncio.create_task(post(transport, upstream.url)) for _ in range(7)]
        await until(lambda: upstream.connections == 2)
        gate.set()
        assert [reply.status for reply in await asyncio.gather(*posts)] == [200] * 7
        assert (upstream.connections, transport.pool.size, transport.pool.free) == (2, 2, 2)
        await transport.close()


async def test_waiting_for_a_connection_ends_at_the_connect_deadline_undelivered() -> None:
    transport, gate = limited(1), asyncio.Event()
    async with raw_upstream(gated(gate)) as upstream:
        first = asyncio.create_task(post(transport, upstream.url))
        await until(lambda: upstream.connections == 1)
        error = await failure(transport, upstream.url, deadlines=Deadlines(connect_s=0.05))
        assert (error.code, error.delivered, error.retryable) == ("upstream_unreachable", False, True)
        assert "busy" in (error.detail or "")
        gate.set()
        await first
        await transport.close()
    assert len(upstream.requests) == 1


async def test_a_free_connection_to_elsewhere_makes_room() -> None:
    transport = limited(1)
    async with raw_upstream(OK) as one, raw_upstream(OK) as other:
        await post(transport, one.url)
        await post(transport, other.url)
        await asyncio.wait_for(one.closed.wait(), 5)
        assert transport.pool.size == 1
        await transport.close()


async def test_who_waits_for_elsewhere_gets_the_place_of_a_connection_that_becomes_free() -> None:
    transport, gate = limited(1), asyncio.Event()
    async with raw_upstream(gated(gate)) as one, raw_upstream(OK) as other:
        first = asyncio.create_task(post(transport, one.url))
        await until(lambda: one.connections == 1)
        second = asyncio.create_task(post(transport, other.url))
        await asyncio.sleep(0)
        gate.set()
        assert [(await task).status for task in (first, second)] == [200, 200]
        assert transport.pool.size == 1
        await transport.close()


async def test_a_connection_that_ends_leaves_its_place_to_who_waits() -> None:
    transport = limited(1)
    async with raw_upstream(answer_then_close(OK)) as upstream:
        replies = await asyncio.gather(*(post(transport, upstream.url) for _ in range(5)), return_exceptions=True)
        assert all(not isinstance(reply, BaseException) or "disconnected" in str(reply) for reply in replies)
        assert not isinstance(replies[0], BaseException)
        await until(lambda: transport.pool.size == 0)
        await transport.close()


async def test_a_failed_connection_leaves_its_place_to_who_waits() -> None:
    transport = limited(1)
    async with raw_upstream(OK) as upstream:
        refused = "http://127.0.0.1:1/"
        results = await asyncio.gather(
            *(post(transport, refused) for _ in range(3)), post(transport, upstream.url), return_exceptions=True
        )
        assert [isinstance(result, BaseException) for result in results] == [True, True, True, False]
        await transport.close()


async def test_no_place_is_lost_when_requests_are_cancelled_at_any_moment() -> None:
    transport, chance = limited(3), random.Random(7)

    async def briefly(upstream: RawUpstream) -> None:
        task = asyncio.create_task(post(transport, upstream.url))
        for _ in range(chance.randrange(14)):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async with raw_upstream(OK) as upstream, raw_upstream(OK) as other:
        for _ in range(6):
            await asyncio.gather(*(briefly(chance.choice((upstream, other))) for _ in range(40)))
        assert transport.pool.size - transport.pool.free <= 0
        replies = await asyncio.gather(*(post(transport, upstream.url) for _ in range(9)))
        assert [reply.status for reply in replies] == [200] * 9
        assert transport.pool.size <= 3
        await transport.close()


async def test_a_connection_grows_old_and_goes() -> None:
    pool = Pool(Dialler(None, Resolver()), 4, idle_s=0.05)
    async with raw_upstream(OK) as upstream:
        origin = target_of(upstream.url).origin
        connection = await pool.connect(origin, 5)
        pool.release(connection, None)
        assert pool.take(origin) is connection
        pool.release(connection, None)
        await until(lambda: connection.lost)
        assert (pool.size, pool.free, pool.take(origin)) == (0, 0, None)
        pool.close()


async def test_an_old_connection_is_not_taken_even_before_it_has_gone() -> None:
    pool = Pool(Dialler(None, Resolver()), 4, idle_s=30)
    async with raw_upstream(OK) as upstream:
        origin = target_of(upstream.url).origin
        connection = await pool.connect(origin, 5)
        pool.release(connection, None)
        connection.idle_until = asyncio.get_running_loop().time()
        assert pool.take(origin) is None
        assert connection.lost
        pool.close()


async def test_an_upstream_that_tells_how_long_it_waits_is_believed() -> None:
    pool = Pool(Dialler(None, Resolver()), 4)
    async with raw_upstream(OK) as upstream:
        connection = await pool.connect(target_of(upstream.url).origin, 5)
        pool.release(connection, 5.0)
        assert connection.idle_until - asyncio.get_running_loop().time() <= 4.0
        pool.close()


async def test_closing_drops_connections_and_sends_away_who_waits() -> None:
    transport, gate = limited(1), asyncio.Event()
    async with raw_upstream(gated(gate)) as upstream:
        busy = asyncio.create_task(failure(transport, upstream.url))
        await until(lambda: len(upstream.requests) == 1)
        waiting = asyncio.create_task(failure(transport, upstream.url))
        await asyncio.sleep(0)
        await transport.close()
        await transport.close()
        assert (await waiting).delivered is False
        assert (await busy).delivered is True
        assert (await failure(transport, upstream.url, deadlines=PATIENT)).delivered is False
        assert transport.pool.size == 0
        gate.set()

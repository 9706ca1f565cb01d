"""Answers handed on in the turn of the loop in which they come."""

from __future__ import annotations

import asyncio

import pytest

from relayhub.types.errors import UpstreamError
from relayhub.types.http import Deadlines, HttpRequest
from relayhub.upstream.lean.sink import Take
from relayhub.upstream.lean.transport import LeanTransport
from tests.support.raw_upstream import Script, answer_then_close, answer_then_hang, chunked, http, raw_upstream
from tests.upstream.lean.sending import PATIENT, until


def stepwise(*pieces: bytes, step: asyncio.Event) -> Script:
    """Sends a piece each time the event is set; then waits for the end of the connection."""

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            await step.wait()
            step.clear()
            writer.write(piece)
            await writer.drain()
        await reader.read()

    return run


async def test_every_piece_is_taken_before_the_task_runs_again(transport: LeanTransport) -> None:
    step = asyncio.Event()
    seen: list[bytes] = []
    head, one, two = chunked(end=False), b"3\r\none\r\n", b"3\r\ntwo\r\n0\r\n\r\n"

    def take(data: bytes) -> bool:
        assert asyncio.current_task() is not pushing
        seen.append(data)
        step.set()
        return True

    step.set()
    async with raw_upstream(stepwise(head, one, two, step=step)) as upstream:
        async with transport.send(HttpRequest("GET", upstream.url), PATIENT) as reply:
            pushing = asyncio.create_task(reply.push(take))
            await asyncio.sleep(0)
            step.set()
            assert await pushing is False
        assert transport.pool.free == 1
    assert seen == [b"one", b"two"]


async def test_who_wants_no_more_for_now_gets_the_rest_later(transport: LeanTransport) -> None:
    pieces = [b"%d" % number for number in range(5)]
    seen: list[bytes] = []

    def one(data: bytes) -> bool:
        seen.append(data)
        return False

    def all_of_them(data: bytes) -> bool:
        seen.append(data)
        return True

    step = asyncio.Event()
    wire = [chunked(end=False), *(b"1\r\n%s\r\n" % piece for piece in pieces), b"0\r\n\r\n"]
    step.set()
    async with (
        raw_upstream(stepwise(*wire, step=step)) as upstream,
        transport.send(HttpRequest("GET", upstream.url), PATIENT) as reply,
    ):
        pushing = asyncio.create_task(reply.push(one))
        await asyncio.sleep(0)
        step.set()
        assert await pushing is True
        assert seen == [b"0"]
        pushing = asyncio.create_task(reply.push(all_of_them))
        while not pushing.done():
            step.set()
            await asyncio.sleep(0)
        assert await pushing is False
        assert await reply.push(one) is False
    assert b"".join(seen) == b"01234"


async def test_what_came_with_the_head_is_not_forgotten(transport: LeanTransport) -> None:
    seen: list[bytes] = []
    async with (
        raw_upstream(http(b"whole")) as upstream,
        transport.send(HttpRequest("GET", upstream.url), PATIENT) as reply,
    ):
        assert await reply.push(lambda data: not seen.append(data)) is False  # type: ignore[func-returns-value]
    assert seen == [b"whole"]


async def push_all(transport: LeanTransport, url: str, take: Take, step: asyncio.Event) -> None:
    async with transport.send(HttpRequest("GET", url), PATIENT) as reply:
        step.set()
        await reply.push(take)


@pytest.mark.parametrize("late", [False, True])
async def test_what_goes_wrong_in_taking_comes_out_and_drops_the_connection(
    transport: LeanTransport, late: bool
) -> None:
    step = asyncio.Event()
    step.set()

    def take(_data: bytes) -> bool:
        raise KeyError("mine")

    wire = [chunked(end=False), b"1\r\nx\r\n"] if late else [chunked(b"x", end=False)]
    async with raw_upstream(stepwise(*wire, step=step)) as upstream:
        with pytest.raises(KeyError):
            await push_all(transport, upstream.url, take, step)
        await asyncio.wait_for(upstream.closed.wait(), 5)


async def test_a_fault_comes_after_what_was_good(transport: LeanTransport) -> None:
    seen: list[bytes] = []
    async with raw_upstream(answer_then_close(chunked(b"good", end=False))) as upstream:
        with pytest.raises(UpstreamError) as caught:
            async with transport.send(HttpRequest("GET", upstream.url), PATIENT) as reply:
                await reply.push(lambda data: not seen.append(data))  # type: ignore[func-returns-value]
    assert caught.value.code == "upstream_truncated"
    assert seen == [b"good"]


async def test_silence_ends_at_the_idle_deadline(transport: LeanTransport) -> None:
    async with raw_upstream(answer_then_hang(chunked(b"good", end=False))) as upstream:
        with pytest.raises(UpstreamError, match="further data"):
            async with transport.send(HttpRequest("GET", upstream.url), Deadlines(idle_s=0.1)) as reply:
                await reply.push(lambda _: True)
        await asyncio.wait_for(upstream.closed.wait(), 5)


async def test_pieces_put_the_idle_deadline_off_and_the_total_one_not(transport: LeanTransport) -> None:
    loop = asyncio.get_running_loop()
    times: list[float] = []

    async def drip(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(chunked(end=False))
        while True:
            writer.write(b"1\r\nx\r\n")
            await writer.drain()
            pause = asyncio.Event()
            loop.call_later(0.02, pause.set)
            await pause.wait()

    async with raw_upstream(drip) as upstream:
        with pytest.raises(UpstreamError, match="complete answer"):
            async with transport.send(HttpRequest("GET", upstream.url), Deadlines(idle_s=0.3, total_s=1.0)) as reply:
                await reply.push(lambda _: not times.append(loop.time()))  # type: ignore[func-returns-value]
    assert times[-1] - times[0] > 0.3


async def test_cancellation_drops_the_connection(transport: LeanTransport) -> None:
    async with raw_upstream(answer_then_hang(chunked(b"x", end=False))) as upstream:
        seen: list[bytes] = []

        async def run() -> None:
            async with transport.send(HttpRequest("GET", upstream.url), PATIENT) as reply:
                await reply.push(lambda data: not seen.append(data))  # type: ignore[func-returns-value]

        task = asyncio.create_task(run())
        await until(lambda: bool(seen))
        task.cancel()
        await asyncio.wait_for(upstream.closed.wait(), 5)
        with pytest.raises(asyncio.CancelledError):
            await task

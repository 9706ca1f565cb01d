"""A transport that is retired closes when its last exchange has ended, and serves those that began before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from relayhub.sdk.transport import UpstreamReply
from relayhub.types.http import Deadlines, HttpRequest
from relayhub.upstream.retiring import RetirableTransport, Retiring
from tests.support.transports import NoTransport

REQUEST = HttpRequest("GET", "http://up/", {}, b"")


class Reply:
    status = 200
    headers: dict[str, str] = {}

    async def chunks(self) -> AsyncIterator[bytes]:
        yield b""


class Inner(NoTransport):
    """``events``: what has happened, in order."""

    def __init__(self) -> None:
        self.events: list[str] = []

    @asynccontextmanager
    async def send(self, request: HttpRequest, deadlines: Deadlines) -> AsyncIterator[UpstreamReply]:
        self.events.append("begun")
        try:
            yield Reply()  # type: ignore[misc]
        finally:
            self.events.append("ended")

    async def close(self) -> None:
        self.events.append("closed")


async def test_an_idle_one_is_closed_at_once() -> None:
    inner = Inner()
    await Retiring(inner).retire()
    assert inner.events == ["closed"]


async def test_a_busy_one_is_closed_after_its_last_exchange() -> None:
    inner = Inner()
    transport = Retiring(inner)
    async with transport.send(REQUEST, Deadlines()):
        async with transport.send(REQUEST, Deadlines()):
            await transport.retire()
        assert inner.events == ["begun", "begun", "ended"]
    assert inner.events == ["begun", "begun", "ended", "ended", "closed"]


async def test_an_exchange_that_fails_or_is_cut_off_counts_as_ended() -> None:
    inner = Inner()
    transport = Retiring(inner)
    with suppress(RuntimeError):
        async with transport.send(REQUEST, Deadlines()):
            await transport.retire()
            raise RuntimeError
    assert inner.events[-1] == "closed"

    async def endless() -> None:
        async with transport.send(REQUEST, Deadlines()):
            begun.set()
            await asyncio.Event().wait()

    begun = asyncio.Event()
    task = asyncio.create_task(endless())
    await begun.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert inner.events[-2:] == ["ended", "closed"]


async def test_one_that_is_not_retired_stays_open() -> None:
    inner = Inner()
    async with Retiring(inner).send(REQUEST, Deadlines()):
        pass
    assert "closed" not in inner.events


def test_both_ways_to_an_upstream_can_be_retired() -> None:
    from relayhub.upstream.network import open_transport
    from relayhub.upstream.options import NetworkOptions

    for proxy in (None, "http://proxy:3128"):
        options = NetworkOptions(proxy=proxy, ca_file=None, max_connections=1)
        assert isinstance(open_transport(options, "tests"), RetirableTransport)

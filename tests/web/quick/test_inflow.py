"""A long body goes to its place without a copy, and the connection's own protocol misses nothing."""

from __future__ import annotations

import asyncio
import random
import ssl
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from relayhub.testing.faults.doors import Authority
from relayhub.web.quick.inflow import START, Inflow

BEGUN = b"the beginning"
GO = b"."
BEHIND = b"the next request"
MB = 1 << 20


class Owner(asyncio.Protocol):
    """Hands all but the first bytes to an :class:`Inflow`, and says so to the client."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.inflow: Inflow | None = None
        self.bodies: list[bytes] = []
        self.peak = 0
        self.behind = b""
        self.eofs = 0
        self.lost = asyncio.Event()
        self.changed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "pause_reading")
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self.inflow is None:
            tracemalloc.reset_peak()
            self.inflow = Inflow(self.transport, self.size, memoryview(data), self.done)  # type: ignore[arg-type]
            self.transport.write(GO)  # type: ignore[attr-defined]
        else:
            self.behind += data
            self.changed.set()

    def done(self, body: bytes) -> None:
        self.peak = tracemalloc.get_traced_memory()[1]
        self.bodies.append(body)
        self.changed.set()

    def eof_received(self) -> None:
        self.eofs += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()


@pytest.fixture(params=["plain", "tls"])
def contexts(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[ssl.SSLContext | None, ssl.SSLContext | None]:
    """The server's and the client's."""
    if request.param == "plain":
        return None, None
    authority = Authority.create(tmp_path)
    return authority.server(), ssl.create_default_context(cafile=str(authority.ca_file))


Contexts = tuple[ssl.SSLContext | None, ssl.SSLContext | None]


@asynccontextmanager
async def begun(size: int, contexts: Contexts) -> AsyncIterator[tuple[Owner, asyncio.StreamWriter]]:
    """A client that has sent the beginning, and whose other bytes go to an :class:`Inflow`."""
    owner = Owner(size)
    server = await asyncio.get_running_loop().create_server(lambda: owner, "127.0.0.1", 0, ssl=contexts[0])
    try:
        async with asyncio.timeout(20):
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname(), ssl=contexts[1])
            try:
                writer.write(BEGUN)
                assert await reader.readexactly(1) == GO
                yield owner, writer
            finally:
                writer.transport.abort()
                await owner.lost.wait()
    finally:
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize("size", [100_000, START, START + 1, MB, 5 * MB + 7])
async def test_the_whole_body_comes_and_what_is_behind_it_goes_to_the_owner(size: int, contexts: Contexts) -> None:
    body = BEGUN + random.Random(size).randbytes(size - len(BEGUN))
    async with begun(size, contexts) as (owner, writer):
        writer.write(body[len(BEGUN) :] + BEHIND)
        while owner.behind != BEHIND:
            owner.changed.clear()
            await owner.changed.wait()
        assert owner.bodies == [body]
        assert type(owner.bodies[0]) is bytes


async def test_it_may_come_in_any_pieces(contexts: Contexts) -> None:
    body = BEGUN + random.Random(1).randbytes(MB)
    async with begun(len(body), contexts) as (owner, writer):
        at = len(BEGUN)
        for step in (1, 2, 4095, 100_000, 500_000, 1, len(body)):
            writer.write(body[at : at + step])
            await writer.drain()
            at += step
        await owner.changed.wait()
        assert owner.bodies == [body]


async def test_nothing_of_it_is_copied(contexts: Contexts) -> None:
    rest = bytes(MB - len(BEGUN))
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        async with begun(MB, contexts) as (owner, writer):
            writer.write(rest)
            await owner.changed.wait()
            assert len(owner.bodies[0]) == MB
            queued = MB if contexts[0] is not None else 0  # the client's own, encrypted
            assert owner.peak - before < MB + MB // 2 + 2 * queued
    finally:
        tracemalloc.stop()


async def test_a_length_alone_takes_no_memory(contexts: Contexts) -> None:
    async with begun(1 << 34, contexts) as (owner, writer):
        assert owner.inflow is not None
        assert len(owner.inflow.get_buffer(-1)) <= START
        writer.write(bytes(START))
        await writer.drain()


async def test_a_client_that_leaves_is_the_owners_to_notice(contexts: Contexts) -> None:
    async with begun(MB, contexts) as (owner, writer):
        writer.write(bytes(MB // 2))
        await writer.drain()
        writer.close()
        await owner.lost.wait()
        assert owner.bodies == []
        assert owner.eofs == 1


async def test_a_body_that_is_complete_when_the_connection_is_closed_is_not_handed_on(contexts: Contexts) -> None:
    async with begun(START, contexts) as (owner, _):
        inflow = owner.inflow
        assert inflow is not None
        missing = START - len(BEGUN)
        assert len(inflow.get_buffer(missing)) == missing
        inflow.buffer_updated(missing)
        owner.transport.close()
        await owner.lost.wait()
        assert owner.bodies == []

"""Bodies that lie on disk are sent with their length, in bounded pieces, and can be sent again."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from relayhub.sdk.transport import Transport
from relayhub.types.errors import UpstreamError
from relayhub.types.http import Body, Deadlines, HttpReply, HttpRequest, SpoolSlice
from relayhub.upstream.body import read_whole
from relayhub.upstream.client import HttpTransport
from relayhub.upstream.lean.transport import LeanTransport
from relayhub.upstream.options import NetworkOptions
from relayhub.upstream.payload import PIECE
from tests.support.raw_upstream import answer_then_close, http, raw_upstream

QUICK = Deadlines(connect_s=1.0, first_byte_s=5.0, idle_s=1.0, total_s=10.0)


class Counting:
    """A spool in a file that notes how much was read at a time."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb", buffering=0)
        self.reads: list[int] = []

    def read_at(self, start: int, size: int) -> bytes:
        self.reads.append(size)
        self._file.seek(start)
        return self._file.read(size)

    def close(self) -> None:
        self._file.close()


CONTENT = bytes(range(251)) * 4000


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Counting]:
    path = tmp_path / "upload"
    path.write_bytes(CONTENT)
    spool = Counting(path)
    yield spool
    spool.close()


@pytest.fixture(params=[LeanTransport, HttpTransport])
async def transport(request: pytest.FixtureRequest) -> AsyncIterator[Transport]:
    transport: Transport = request.param(NetworkOptions(), "relayhub/test")
    yield transport
    await transport.close()


async def post(transport: Transport, url: str, body: Body) -> HttpReply:
    request = HttpRequest("POST", url, {"content-type": "multipart/form-data; boundary=b"}, body)
    async with transport.send(request, QUICK) as reply:
        return await read_whole(reply)


def around(spool: Counting, put: bytes) -> Body:
    return (SpoolSlice(spool, 0, 1000), put, SpoolSlice(spool, 1010, len(CONTENT)))


async def test_pieces_arrive_as_one_body_of_known_length(transport: Transport, spool: Counting) -> None:
    async with raw_upstream(http(b"{}")) as upstream:
        reply = await post(transport, upstream.url, around(spool, b"new"))
    expected = CONTENT[:1000] + b"new" + CONTENT[1010:]
    head, _, body = upstream.requests[0].partition(b"\r\n\r\n")
    assert reply.status == 200
    assert body == expected
    names = [line.split(b":")[0].lower() for line in head.split(b"\r\n")[1:]]
    assert names.count(b"content-length") == 1
    assert b"transfer-encoding" not in names
    assert f"content-length: {len(expected)}".encode() in head.lower()


async def test_what_is_on_disk_is_read_piece_by_piece(transport: Transport, spool: Counting) -> None:
    async with raw_upstream(http(b"{}")) as upstream:
        await post(transport, upstream.url, (SpoolSlice(spool, 0, len(CONTENT)),))
    assert sum(spool.reads) == len(CONTENT)
    assert max(spool.reads) <= PIECE


async def test_a_body_can_be_sent_again(transport: Transport, spool: Counting) -> None:
    body = around(spool, b"again")
    async with raw_upstream(http(b"{}", status="503 Busy"), http(b"{}")) as upstream:
        assert (await post(transport, upstream.url, body)).status == 503
        assert (await post(transport, upstream.url, body)).status == 200
    first, second = (request.partition(b"\r\n\r\n")[2] for request in upstream.requests)
    assert first == second


async def test_the_loop_goes_on_while_a_slow_disk_is_read(transport: Transport, tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    ticked = asyncio.Event()

    class Slow:
        def read_at(self, start: int, size: int) -> bytes:
            """Answers only once the loop has done something else."""
            asyncio.run_coroutine_threadsafe(asyncio.wait_for(ticked.wait(), 5), loop).result(5)
            return b"x" * size

    loop.call_later(0.05, ticked.set)
    async with raw_upstream(http(b"{}")) as upstream:
        await post(transport, upstream.url, (SpoolSlice(Slow(), 0, 10),))
    assert upstream.requests[0].endswith(b"x" * 10)


async def test_a_large_body_is_never_held_whole(transport: Transport, tmp_path: Path) -> None:
    size = 48 << 20
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(size)
    spool = Counting(path)
    received = 0

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal received
        await reader.readuntil(b"\r\n\r\n")
        while received < size:
            received += len(await reader.read(1 << 16))
        writer.write(http(b"{}"))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    tracemalloc.start()
    try:
        await post(transport, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", (SpoolSlice(spool, 0, size),))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        server.close()
        spool.close()
    assert received == size
    assert peak < 8 << 20, f"{peak} bytes held of {size}"


async def test_an_upstream_that_hangs_up_while_it_is_sent_to(transport: Transport, spool: Counting) -> None:
    async with raw_upstream(answer_then_close(b"")) as upstream:
        with pytest.raises(UpstreamError) as caught:
            await post(transport, upstream.url, (SpoolSlice(spool, 0, len(CONTENT)),))
    assert (caught.value.code, caught.value.delivered) == ("upstream_disconnected", True)


async def test_a_disk_that_cannot_be_read_is_no_answer(transport: Transport) -> None:
    class Broken:
        def read_at(self, start: int, size: int) -> bytes:
            raise OSError("disk on fire")

    async with raw_upstream(http(b"{}")) as upstream:
        with pytest.raises(UpstreamError):
            await post(transport, upstream.url, (SpoolSlice(Broken(), 0, 10),))
    assert upstream.requests == []

"""Answers as they come in: what is passed over, what is refused, what is inflated, and who waits for whom."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Callable
from contextlib import aclosing

import pytest

from relayhub.types.errors import UpstreamError
from relayhub.types.http import Deadlines, HttpRequest, SpoolSlice
from relayhub.types.limits import MAX_INTERIM_ANSWERS, MAX_UPSTREAM_HEAD
from relayhub.upstream.lean.inflate import STEP
from relayhub.upstream.lean.transport import LeanTransport
from tests.support.raw_upstream import answer_then_close, answer_then_hang, chunked, hang, http, raw_upstream
from tests.upstream.lean.sending import PATIENT, failure, post, until

OK = http(b"{}")
EARLY = b"HTTP/1.1 100 Continue\r\n\r\n"


def with_coding(coding: str, body: bytes) -> bytes:
    return http(body, headers=f"content-encoding: {coding}")


async def byte_by_byte(answer: bytes, writer: asyncio.StreamWriter) -> None:
    for at in range(len(answer)):
        writer.write(answer[at : at + 1])
        await writer.drain()
        await asyncio.sleep(0)


@pytest.mark.parametrize("answer", [http(b'{"a":1}'), chunked(b'{"a"', b":1}")], ids=["length", "chunks"])
async def test_an_answer_may_come_byte_by_byte(transport: LeanTransport, answer: bytes) -> None:
    async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await byte_by_byte(answer, writer)
        await hang(reader, writer)

    async with raw_upstream(slowly) as upstream:
        assert (await post(transport, upstream.url)).body == b'{"a":1}'


async def test_early_answers_are_passed_over(transport: LeanTransport) -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
    async with raw_upstream(EARLY + hints + http(b"1"), http(b"2")) as upstream:
        assert (await post(transport, upstream.url)).body == b"1"
        assert (await post(transport, upstream.url)).body == b"2"
    assert upstream.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(EARLY * (MAX_INTERIM_ANSWERS + 1) + OK, id="too many early answers"),
        pytest.param(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n" + OK, id="another protocol"),
        pytest.param(b"SSH-2.0-OpenSSH_9.9\r\n", id="not HTTP"),
        pytest.param(b"HTTP/1.1 200 OK\r\nx: " + b"a" * MAX_UPSTREAM_HEAD, id="endless header"),
        pytest.param(b"HTTP/1.1 200 OK\r\nx: " + b"a" * MAX_UPSTREAM_HEAD + b"\r\n\r\n", id="long header"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n folded: 1\r\n\r\n{}", id="continuation line"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}", id="two framings"
        ),
        pytest.param(with_coding("br", b"{}"), id="a coding that nobody asked for"),
    ],
)
async def test_an_answer_that_is_not_valid_is_refused_at_once(transport: LeanTransport, answer: bytes) -> None:
    async with raw_upstream(answer_then_hang(answer), OK) as upstream:
        error = await failure(transport, upstream.url)
        assert (error.code, error.delivered, error.retryable) == ("upstream_invalid_response", True, False)
        await asyncio.wait_for(upstream.closed.wait(), 5)
        await post(transport, upstream.url)
    assert upstream.connections == 2


@pytest.mark.parametrize(
    "rest",
    [b"zz\r\n", b"3\r\nabcd\r\n", b"0\r\nbad trailer\r\n\r\n", b"5\r\nab"],
    ids=["bad size", "long chunk", "bad trailer", "short chunk"],
)
async def test_what_came_before_a_framing_fault_is_delivered_first(transport: LeanTransport, rest: bytes) -> None:
    answer = chunked(b"data: 1\n\n", end=False) + rest
    script = answer_then_close(answer) if rest == b"5\r\nab" else answer_then_hang(answer)
    seen: list[bytes] = []
    async with raw_upstream(script) as upstream:
        with pytest.raises(UpstreamError) as caught:
            await _read_into(seen, transport, upstream.url)
        await asyncio.wait_for(upstream.closed.wait(), 5)
    assert b"".join(seen).startswith(b"data: 1\n\n")
    assert (caught.value.code, caught.value.delivered) == ("upstream_truncated", True)


async def _read_into(seen: list[bytes], transport: LeanTransport, url: str, deadlines: Deadlines = PATIENT) -> None:
    async with transport.send(HttpRequest("GET", url), deadlines) as reply, aclosing(reply.chunks()) as chunks:
        async for data in chunks:
            seen.append(data)


@pytest.mark.parametrize(
    ("coding", "squeeze"),
    [
        ("gzip", gzip.compress),
        ("x-gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", lambda data: zlib.compress(data, wbits=-15)),
    ],
    ids=["gzip", "x-gzip", "deflate", "deflate without wrapper"],
)
@pytest.mark.parametrize("size", [10, 3 << 20])
async def test_answers_that_are_compressed_all_the_same_are_inflated(
    transport: LeanTransport, coding: str, squeeze: Callable[[bytes], bytes], size: int
) -> None:
    body = bytes(range(250)) * (size // 250 + 1)
    async with raw_upstream(with_coding(coding, squeeze(body))) as upstream:
        assert (await post(transport, upstream.url)).body == body


@pytest.mark.parametrize(
    "body", [gzip.compress(b"x" * 1000)[:-1], gzip.compress(b"x") + b"more", b"plain"], ids=["cut", "more", "plain"]
)
async def test_broken_compression_is_an_error(transport: LeanTransport, body: bytes) -> None:
    async with raw_upstream(with_coding("gzip", body)) as upstream:
        assert (await failure(transport, upstream.url)).code == "upstream_truncated"


async def test_a_bomb_goes_off_in_small_steps(transport: LeanTransport) -> None:
    squeezing = zlib.compressobj(9, wbits=31)
    bomb = b"".join([squeezing.compress(bytes(1 << 20)) for _ in range(100)] + [squeezing.flush()])
    async with raw_upstream(with_coding("gzip", bomb)) as upstream:
        assert (await failure(transport, upstream.url)).code == "upstream_too_large"
        async with (
            transport.send(HttpRequest("GET", upstream.url), PATIENT) as reply,
            aclosing(reply.chunks()) as chunks,
        ):
            assert max([len(await anext(chunks)) for _ in range(20)]) <= STEP


async def test_an_upstream_that_floods_is_held_back_while_nobody_reads(transport: LeanTransport) -> None:
    sent = 0

    async def flood(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n")
        while True:
            writer.write(bytes(1 << 16))
            await writer.drain()
            sent += 1 << 16

    async with raw_upstream(flood) as upstream:
        async with transport.send(HttpRequest("GET", upstream.url), PATIENT) as reply:
            before = -1
            while before != sent:
                before = sent
                await _turns()
            assert 0 < sent < 32 << 20
            got = 0
            async with aclosing(reply.chunks()) as chunks:
                while got < 64 << 20:
                    got += len(await anext(chunks))
        await asyncio.wait_for(upstream.closed.wait(), 5)


async def _turns(seconds: float = 0.05) -> None:
    done = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, done.set)
    await done.wait()


async def test_only_while_somebody_waits_does_the_upstreams_time_run(transport: LeanTransport) -> None:
    gate = asyncio.Event()

    async def in_two(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(chunked(b"one", end=False))
        await gate.wait()
        writer.write(b"3\r\ntwo\r\n0\r\n\r\n")
        await hang(reader, writer)

    deadlines = Deadlines(first_byte_s=5, idle_s=0.03, total_s=5)
    async with (
        raw_upstream(in_two) as upstream,
        transport.send(HttpRequest("GET", upstream.url), deadlines) as reply,
        aclosing(reply.chunks()) as chunks,
    ):
        assert await anext(chunks) == b"one"
        await _turns()
        gate.set()
        await _turns()
        assert await anext(chunks) == b"two"


async def test_a_flood_ends_at_the_total_deadline_too(transport: LeanTransport) -> None:
    async def flood(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(chunked(end=False))
        while True:
            writer.write(b"1000\r\n" + bytes(4096) + b"\r\n")
            await writer.drain()

    async with raw_upstream(flood) as upstream:
        with pytest.raises(UpstreamError, match="complete answer") as caught:
            await _read_into([], transport, upstream.url, Deadlines(total_s=0.3))
    assert caught.value.delivered


async def test_the_total_deadline_holds_for_data_that_has_come(transport: LeanTransport) -> None:
    async with (
        raw_upstream(answer_then_hang(chunked(b"here", end=False))) as upstream,
        transport.send(HttpRequest("GET", upstream.url), Deadlines(total_s=0.4)) as reply,
    ):
        await _turns(0.45)
        with pytest.raises(UpstreamError, match="complete answer"):
            await anext(reply.chunks())
        await asyncio.wait_for(upstream.closed.wait(), 5)


async def test_an_answer_that_was_complete_in_time_may_be_read_later(transport: LeanTransport) -> None:
    async with (
        raw_upstream(chunked(b"here")) as upstream,
        transport.send(HttpRequest("GET", upstream.url), Deadlines(total_s=0.4)) as reply,
    ):
        await until(lambda: transport.pool.free == 1)
        await _turns(0.45)
        assert await anext(reply.chunks()) == b"here"


async def test_a_head_that_drips_ends_at_the_first_byte_deadline(transport: LeanTransport) -> None:
    async def drip(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"x: 1\r\n")
            await writer.drain()
            await _turns()

    async with raw_upstream(drip) as upstream:
        error = await failure(transport, upstream.url, deadlines=Deadlines(first_byte_s=0.2))
    assert (error.code, "no answer" in error.message) == ("upstream_timeout", True)


class Zeros:
    """A spool that notes how much was read."""

    def __init__(self) -> None:
        self.read = 0

    def read_at(self, start: int, size: int) -> bytes:
        self.read += size
        return bytes(size)


@pytest.mark.parametrize("spooled", [True, False])
async def test_an_answer_before_the_end_of_the_request_ends_the_sending(
    transport: LeanTransport, spooled: bool
) -> None:
    async def refuse(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _reader.readuntil(b"\r\n\r\n")
        writer.write(http(b"too large", status="413 Content Too Large"))
        await writer.drain()
        await closed.wait()
        writer.close()

    size, spool, closed = 64 << 20, Zeros(), asyncio.Event()
    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    body = (SpoolSlice(spool, 0, size),) if spooled else bytes(size)
    reply = await post(transport, url, body)
    assert (reply.status, reply.body) == (413, b"too large")
    assert spool.read < size
    assert transport.pool.size == 0
    closed.set()
    server.close()


async def test_an_upstream_that_stops_reading_the_request_is_given_up(transport: LeanTransport) -> None:
    async def deaf(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await closed.wait()
        writer.close()

    closed = asyncio.Event()
    server = await asyncio.start_server(deaf, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    error = await failure(transport, url, bytes(64 << 20), deadlines=Deadlines(first_byte_s=0.2))
    assert (error.code, error.delivered) == ("upstream_timeout", True)
    closed.set()
    server.close()


async def test_a_header_that_cannot_be_sent_is_certainly_not_delivered(transport: LeanTransport) -> None:
    async with raw_upstream(OK) as upstream:
        with pytest.raises(UpstreamError) as caught:
            async with transport.send(HttpRequest("GET", upstream.url, {"x": "a\r\nb: c"}), PATIENT):
                pass
    assert (caught.value.code, caught.value.delivered) == ("upstream_request_invalid", False)
    assert upstream.connections == 0

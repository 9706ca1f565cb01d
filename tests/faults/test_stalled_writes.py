"""Limits of the server's own side, on a small server of the test's own so that their seconds can be short."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from relayhub.config.schema import ServerConfig
from relayhub.dialects.codec import Framing
from relayhub.gateway.call import ClientLeft
from relayhub.gateway.equal_waits import EqualWaits
from relayhub.web import answer_stream
from relayhub.web.application import build_runner
from relayhub.web.client_stream import ClientStream
from relayhub.web.head_timer import head_arrived
from relayhub.web.listener import listen
from tests.faults.asking import connected, read_all, read_until

HEAD_S = 0.3


@asynccontextmanager
async def serving(handler: Callable[[web.Request], object]) -> AsyncIterator[str]:
    app = web.Application(middlewares=[head_arrived])
    app.router.add_route("*", "/", handler)  # type: ignore[arg-type]
    runner = build_runner(app)
    await runner.setup()
    try:
        yield await listen(runner, ServerConfig(port=0), head_s=HEAD_S)
    finally:
        await runner.cleanup()


async def hello(_request: web.Request) -> web.Response:
    return web.Response(text="hello")


@pytest.mark.parametrize("half", [b"G", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nhost: x\r\nx-a: b"])
async def test_half_a_head_is_given_up(half: bytes) -> None:
    def client(url: str) -> tuple[bytes, float]:
        with connected(url) as raw:
            started = time.monotonic()
            raw.sendall(half)
            return read_all(raw), time.monotonic() - started

    async with serving(hello) as url:
        text, took_s = await asyncio.to_thread(client, url)
    assert text.startswith(b"HTTP/1.1 408 ")
    assert HEAD_S - 0.05 <= took_s <= HEAD_S + 0.5


async def test_bytes_now_and_then_do_not_move_the_limit() -> None:
    def client(url: str) -> float:
        with connected(url) as raw:
            started = time.monotonic()
            raw.settimeout(0.05)
            for byte in b"GET / HTTP/1.1\r\nx-slow: aaaaaaaaaaaaaaaaaaaaaaaaa":
                try:
                    raw.sendall(bytes([byte]))
                    if raw.recv(100):
                        break
                except TimeoutError:
                    continue
            return time.monotonic() - started

    async with serving(hello) as url:
        assert await asyncio.to_thread(client, url) <= HEAD_S + 0.5


async def test_the_head_of_each_further_request_has_the_limit_too() -> None:
    def client(url: str) -> bytes:
        with connected(url) as raw:
            for _ in range(3):
                raw.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
                assert b"200 OK" in read_until(raw, b"hello")
            raw.sendall(b"GET / HT")
            return read_all(raw)

    async with serving(hello) as url:
        assert (await asyncio.to_thread(client, url)).startswith(b"HTTP/1.1 408 ")


async def test_a_connection_that_rests_between_requests_is_kept() -> None:
    def client(url: str) -> bytes:
        with connected(url) as raw:
            raw.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            read_until(raw, b"hello")
            raw.settimeout(2 * HEAD_S)
            with pytest.raises(TimeoutError):
                raw.recv(1)
            raw.settimeout(5)
            raw.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            return read_until(raw, b"hello")

    async with serving(hello) as url:
        assert b"200 OK" in await asyncio.to_thread(client, url)


async def test_neither_a_slow_body_nor_a_slow_answer_is_a_slow_head() -> None:
    async def slow(request: web.Request) -> web.Response:
        body = await request.read()
        await asyncio.get_running_loop().run_in_executor(None, time.sleep, 2 * HEAD_S)
        return web.Response(body=body)

    def client(url: str) -> bytes:
        with connected(url) as raw:
            raw.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\nconnection: close\r\n\r\n")
            for byte in b"body":
                raw.settimeout(HEAD_S / 2)
                with pytest.raises(TimeoutError):
                    raw.recv(1)
                raw.sendall(bytes([byte]))
            raw.settimeout(5)
            return read_all(raw)

    async with serving(slow) as url:
        assert (await asyncio.to_thread(client, url)).endswith(b"body")


async def test_a_client_that_stops_reading_counts_as_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_stream, "WRITE_STALL_S", 0.3)
    ended: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    async def flood(request: web.Request) -> web.StreamResponse:
        client = ClientStream(
            request, {}, framing=Framing.SSE, keep_alive=b": \n\n", head_waits=EqualWaits(60), keep_alive_s=60
        )
        started = time.monotonic()
        async with client:
            try:
                while True:
                    await client.write(b"data: " + b"x" * 65536 + b"\n\n")
                    started = time.monotonic()
            except ClientLeft:
                ended.set_result(time.monotonic() - started)
        assert client.response is not None
        return client.response

    async with serving(flood) as url:
        with connected(url, receive_buffer=64 << 10) as raw:
            raw.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            assert 0.25 <= await asyncio.wait_for(ended, 5) <= 0.8

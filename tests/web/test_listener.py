"""What every connection has from its listening socket."""

from __future__ import annotations

import asyncio
import socket

import pytest
from aiohttp import web

from relayhub.config import ServerConfig
from relayhub.web.application import build_runner
from relayhub.web.listener import UNSENT, hold_little, listen


@pytest.mark.skipif(not hasattr(socket, "TCP_NOTSENT_LOWAT"), reason="this system has no such limit")
async def test_little_of_an_answer_is_held_by_the_system() -> None:
    limits: list[int] = []

    async def handler(request: web.Request) -> web.Response:
        assert request.transport is not None
        raw = request.transport.get_extra_info("socket")
        limits.append(raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT))
        return web.Response()

    app = web.Application()
    app.router.add_get("/", handler)
    runner = build_runner(app)
    await runner.setup()
    try:
        await listen(runner, ServerConfig(port=0))
        host, port = runner.addresses[0][:2]
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"GET / HTTP/1.1\r\nhost: hub\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()
    finally:
        await runner.cleanup()
    assert limits == [UNSENT]


@pytest.mark.skipif(not hasattr(socket, "TCP_NOTSENT_LOWAT"), reason="this system has no such limit")
def test_a_system_that_refuses_the_limit_is_served_all_the_same() -> None:
    with socket.socket(socket.AF_UNIX) as other, socket.socket() as raw:
        hold_little([other, raw])
        assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == UNSENT

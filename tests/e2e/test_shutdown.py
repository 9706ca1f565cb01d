"""SIGTERM: new calls are refused, open answers finish, and at the limit the rest are told the truth."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import time
from pathlib import Path

import openai

from relayhub.running.control import ask as ask_hub
from tests.faults.promises.figure import slower
from tests.support.gated_upstream import GatedUpstream, open_streams
from tests.support.server import PATIENCE_S, Server, running

CONFIG = """
server: {{drain_s: {drain_s}}}
store: {{path: hub.db}}
logging: {{format: json}}
providers:
  demo:
    slow_first_byte_s: 0.1
    slow_chunk_s: {pace_s}
    models: {{demo-slow: {{price: {{call: "0.01"}}}}}}
"""
STREAMS = 20


async def collect(client: openai.AsyncOpenAI, begun: asyncio.Semaphore) -> str:
    stream = await client.chat.completions.create(
        model="demo-slow", messages=[{"role": "user", "content": "Hello!"}], stream=True
    )
    finish = None
    try:
        async for chunk in stream:
            begun.release()
            finish = chunk.choices[0].finish_reason or finish
    except openai.APIError as error:
        return str(error.code)
    return str(finish)


async def through_sigterm(server: Server, key: str) -> list[str]:
    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0) as client:
        begun = asyncio.Semaphore(0)
        tasks = [asyncio.create_task(collect(client, begun)) for _ in range(STREAMS)]
        for _ in range(STREAMS):
            await begun.acquire()
        server.terminate()
        return await asyncio.gather(*tasks)


async def test_open_streams_end_normally_and_the_exit_is_clean(home: Path) -> None:
    with running(home, CONFIG.format(drain_s=15, pace_s=0.1)) as server:
        key = await asyncio.to_thread(server.new_key, "k")
        assert await through_sigterm(server, key) == ["stop"] * STREAMS
        assert await asyncio.to_thread(server.wait) == 0


async def test_at_the_limit_streams_end_with_an_error_event_and_are_settled(home: Path) -> None:
    with running(home, CONFIG.format(drain_s=0.3, pace_s=5)) as server:
        key = await asyncio.to_thread(server.new_key, "k")
        assert await through_sigterm(server, key) == ["shutting_down"] * STREAMS
        assert await asyncio.to_thread(server.wait) == 0
        assert server.rows("SELECT outcome, count(*) AS n FROM usage GROUP BY outcome") == [
            {"outcome": "hub_error", "n": STREAMS}
        ]
        assert server.rows("SELECT count(*) AS open FROM holds") == [{"open": 0}]


async def test_while_draining_nothing_new_is_taken(home: Path) -> None:
    upstream = GatedUpstream()
    with upstream.in_thread() as url, running(home, GATED.format(url=url)) as server:
        key = await asyncio.to_thread(server.new_key, "k")
        host, port = server.url.removeprefix("http://").split(":")
        kept_alive = await asyncio.open_connection(host, int(port))
        assert (await ask(*kept_alive, "/readyz"))[0] == 200
        async with open_streams(server.url, key, 1) as streams:
            server.terminate()
            await asyncio.to_thread(server.wait_until, lambda: "Stopping" in server.log(), within_s=PATIENCE_S)
            status, body = await ask(*kept_alive, "/readyz")
            assert (status, body) == (503, {"status": "draining"})
            await asyncio.to_thread(server.wait_until, lambda: not accepts(host, int(port)), within_s=PATIENCE_S)
            assert streams.still_open() == 1
            upstream.open(upstream.gate)
            (text,) = await streams.ended(PATIENCE_S)
        kept_alive[1].close()
        assert text.endswith(b"data: [DONE]\n\n")


def accepts(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=2).close()
    except OSError:
        return False
    return True


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> tuple[int, object]:
    writer.write(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = next(int(line.split(":")[1]) for line in head.splitlines() if line.startswith("content-length:"))
    return int(head.split()[1]), json.loads(await reader.readexactly(length))


async def test_a_second_signal_ends_at_once(home: Path) -> None:
    with running(home, CONFIG.format(drain_s=60, pace_s=30)) as server:
        key = await asyncio.to_thread(server.new_key, "k")
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0) as client:
            begun = asyncio.Semaphore(0)
            task = asyncio.create_task(collect(client, begun))
            await begun.acquire()
            server.terminate()
            await asyncio.to_thread(server.wait_until, lambda: "Stopping" in server.log(), within_s=5)
            server.process.send_signal(signal.SIGINT)
            assert await task == "shutting_down"
        assert await asyncio.to_thread(server.wait) == 0


GATED = """
server: {{drain_s: 60}}
store: {{path: hub.db}}
logging: {{format: json}}
providers:
  up: {{type: openai, base_url: {url}/v1, api_key: sk-x, max_connections: 1000, models: {{m: {{price: {{call: "0.01"}}}}}}}}
"""
MANY = 500


async def test_500_open_streams_end_normally_while_the_door_is_closed(home: Path) -> None:
    upstream = GatedUpstream()
    with upstream.in_thread() as url, running(home, GATED.format(url=url)) as server:
        key = await asyncio.to_thread(server.new_key, "k")
        host, port = server.url.removeprefix("http://").split(":")
        kept_alive = await asyncio.open_connection(host, int(port))
        assert (await ask(*kept_alive, "/readyz"))[0] == 200
        async with open_streams(server.url, key, MANY) as streams:
            began = time.monotonic()
            server.terminate()
            await asyncio.to_thread(server.wait_until, lambda: not accepts(host, int(port)), within_s=5)
            closed_s = time.monotonic() - began
            assert await ask(*kept_alive, "/readyz") == (503, {"status": "draining"})
            assert streams.still_open() == MANY
            upstream.open(upstream.gate)
            texts = await streams.ended(50)
        kept_alive[1].close()
        assert [text.endswith(b"data: [DONE]\n\n") for text in texts] == [True] * MANY
        # The promise is for a machine that has a core to spare.
        assert closed_s <= slower() or os.getloadavg()[0] > (os.cpu_count() or 1), closed_s
        assert await asyncio.to_thread(server.wait) == 0
        assert server.rows("SELECT outcome, count(*) AS n FROM usage GROUP BY outcome") == [
            {"outcome": "completed", "n": MANY}
        ]
        assert server.rows("SELECT count(*) AS n FROM holds") == [{"n": 0}]
        await asyncio.to_thread(server.cli, "ledger", "check")


async def test_a_reload_while_draining_is_refused_and_cuts_nothing(home: Path) -> None:
    upstream = GatedUpstream()
    with upstream.in_thread() as url, running(home, GATED.format(url=url)) as server:
        key = await asyncio.to_thread(server.new_key, "k")
        async with open_streams(server.url, key, 1) as streams:
            told = await ask_hub(home / "hub.db.control", "drain")
            assert told == {"ok": True, "open_calls": 1}
            await asyncio.to_thread(server.wait_until, lambda: "Stopping" in server.log(), within_s=5)
            assert (await ask_hub(home / "hub.db.control", "status"))["state"] == "draining"
            refused = await ask_hub(home / "hub.db.control", "reload")
            assert refused["ok"] is False
            upstream.open(upstream.gate)
            (text,) = await streams.ended(10)
        assert text.endswith(b"data: [DONE]\n\n")
        assert await asyncio.to_thread(server.wait) == 0

"""The disk is full: nothing is sent without a hold, finished answers arrive, and their settlements are written when there is
room again."""

from __future__ import annotations

import asyncio
import resource
from collections import Counter
from pathlib import Path

import openai

from tests.e2e.test_bad_input import ask
from tests.support.server import Server, running

CONFIG = """
store: {path: hub.db}
logging: {format: json, level: warning}
providers:
  demo:
    models: {demo-chat: {price: {call: "0.001"}}}
"""
ROOM = 300 << 10
"""Bytes that a file of the server may have: the database outgrows it after some calls."""


async def calls(server: Server, key: str, count: int) -> Counter[str]:
    async def one(client: openai.AsyncOpenAI) -> str:
        try:
            await client.chat.completions.create(model="demo-chat", messages=[{"role": "user", "content": "hi"}])
        except openai.APIStatusError as error:
            return f"{error.code}, retry after {error.response.headers['retry-after']} s"
        return "ok"

    found: Counter[str] = Counter()
    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0) as client:
        for _ in range(count // 20):
            found.update(await asyncio.gather(*(one(client) for _ in range(20))))
    return found


async def test_a_full_disk_refuses_new_calls_and_loses_none_that_was_answered(home: Path) -> None:
    with running(home, CONFIG) as server:
        key = await asyncio.to_thread(server.new_key, "k")
        _, most = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (ROOM, most))
        full = await calls(server, key, 200)
        assert set(full) == {"ok", "store_unavailable, retry after 1 s"}
        assert ask(server, "GET", "/livez").status == 200

        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (most, most))
        await asyncio.to_thread(server.wait_until, lambda: ask(server, "GET", "/api/health").status == 200, within_s=10)
        again = await calls(server, key, 20)
        assert again == {"ok": 20}
        assert server.rows("SELECT outcome, count(*) AS n FROM usage GROUP BY outcome") == [
            {"outcome": "completed", "n": full["ok"] + 20}
        ]
        assert server.rows("SELECT count(*) AS open FROM holds") == [{"open": 0}]
        assert server.cli_json("ledger", "check") == {"exact": True, "violations": []}

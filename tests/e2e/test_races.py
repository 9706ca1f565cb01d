"""Many at once: quota is spent to the last call and never beyond."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path

import openai

from tests.support.server import Server, running

PRICE_UNITS = 5_000
"""What a call costs: 0.01 USD at 500 000 units to the dollar."""

CONFIG = """
store: {path: hub.db}
logging: {level: warning}
providers:
  demo:
    models: {demo-chat: {price: {call: "0.01"}}}
"""


async def burst(server: Server, key: str, calls: int) -> Counter[str]:
    async def one(client: openai.AsyncOpenAI, index: int) -> str:
        messages: list[dict[str, str]] = [{"role": "user", "content": f"call {index}"}]
        try:
            if index % 2:
                stream = await client.chat.completions.create(model="demo-chat", messages=messages, stream=True)  # type: ignore[call-overload]
                return "ok" if [chunk async for chunk in stream] else "empty"
            await client.chat.completions.create(model="demo-chat", messages=messages)  # type: ignore[call-overload]
        except openai.APIStatusError as error:
            return f"{error.status_code} {error.code}"
        return "ok"

    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0) as client:
        return Counter(await asyncio.gather(*(one(client, index) for index in range(calls))))


async def test_300_calls_at_once_on_a_key_for_100_spend_exactly_100(home: Path) -> None:
    with running(home, CONFIG) as server:
        key = await asyncio.to_thread(server.new_key, "race", "--quota", str(100 * PRICE_UNITS))
        outcomes = await burst(server, key, 300)
        assert outcomes == {"ok": 100, "402 insufficient_quota": 200}
        listed = json.loads(server.cli("keys", "list", "--json"))
        assert [(row["quota"], row["used"]) for row in listed] == [(100 * PRICE_UNITS, 100 * PRICE_UNITS)]
        assert server.cli_json("ledger", "check") == {"exact": True, "violations": []}


async def test_an_accounts_last_units_are_spent_once_by_several_keys(home: Path) -> None:
    with running(home, CONFIG) as server:
        server.cli("accounts", "create", "team")
        server.cli("accounts", "grant", "team", str(20 * PRICE_UNITS))
        keys = [await asyncio.to_thread(server.new_key, f"k{n}", "--account", "team") for n in range(3)]
        outcomes = sum(await asyncio.gather(*(burst(server, key, 20) for key in keys)), Counter[str]())
        assert outcomes == {"ok": 20, "402 insufficient_quota": 40}
        team = json.loads(server.cli("accounts", "list", "--json"))
        assert [(a["name"], a["used"], a["remaining"]) for a in team if a["name"] == "team"] == [
            ("team", 20 * PRICE_UNITS, 0)
        ]

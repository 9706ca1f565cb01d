"""Two hubs on one database file: what is promised of one holds for both together, to the last unit, code and slot."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from relayhub.accounts.codes import issue_codes
from relayhub.accounts.issuing import issue_key
from relayhub.sdk.clock import SystemClock
from relayhub.store.audit import SYSTEM
from relayhub.store.codes import NewBatch
from relayhub.store.store import Store
from tests.e2e.test_key_limits import chat, events, streaming
from tests.store.watch import Watch
from tests.support.server import PATIENCE_S, Server, running

PRICE_UNITS = 5_000
"""What a call costs: 0.01 USD at 500 000 units to the dollar."""

CONFIG = """
server: {{trusted_proxies: [127.0.0.1], drain_s: 2}}
store: {{path: hub.db, durability: process}}
quota: {{revoked_streams: {policy}}}
logging: {{format: json, level: warning}}
providers:
  demo:
    slow_first_byte_s: 0.03
    slow_chunk_s: 0.1
    models:
      demo-chat: {{price: {{call: "0.01"}}}}
      demo-slow: {{price: {{call: "0.01"}}}}
  stuck:
    type: demo
    slow_first_byte_s: 0.02
    slow_chunk_s: 20
    models: {{demo-stuck: {{upstream: demo-slow, price: {{call: "0.01"}}}}}}
"""
CODE_NANO = 20_000_000
AT_ONCE = 100
"""Connections; twice as many are no other race, and take longer to open."""
GONE_S = 10.0

pytestmark = pytest.mark.timeout(180)


@dataclass(frozen=True)
class Pair:
    servers: tuple[Server, Server]

    @property
    def first(self) -> Server:
        return self.servers[0]

    def new_key(self, name: str, *options: str) -> str:
        """Both know it."""
        key = self.first.new_key(name, *options)
        self.servers[1].wait_until(lambda: self.servers[1].accepts(key), within_s=PATIENCE_S)
        return key

    def url(self, number: int) -> str:
        return self.servers[number % 2].url

    def held(self) -> int:
        return len(self.first.rows("SELECT 1 FROM holds"))

    def check_books(self) -> None:
        self.first.wait_until(lambda: not self.held(), within_s=GONE_S)
        assert self.first.cli_json("ledger", "check") == {"exact": True, "violations": []}


@contextmanager
def two(home: Path, policy: str = "finish") -> Iterator[Pair]:
    text = CONFIG.format(policy=policy)
    with running(home, text) as one, running(home, text) as other:
        yield Pair((one, other))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with two(tmp_path_factory.mktemp("two")) as pair:
        yield pair
        pair.check_books()


@contextmanager
def watched(pair: Pair) -> Iterator[Watch]:
    """The equations of the books every 10 ms, and that no key is ever beyond its slots or its minute."""
    over, watches = threading.Event(), list[Watch]()

    def look() -> None:
        watch = Watch.of(pair.first.home / "hub.db")
        watches.append(watch)
        try:
            watch.until(over.is_set)
        finally:
            watch.close()

    looking = threading.Thread(target=look)
    looking.start()
    try:
        while not watches:
            looking.join(0.01)
        yield watches[0]
    finally:
        over.set()
        looking.join()
    assert watches[0].wrong == []
    assert watches[0].looks > 1


# --- a client that can vanish -----------------------------------------------------------------------------------------


async def post(
    url: str, path: str, key: str, body: object, headers: Sequence[str] = (), *, leaves_after_s: float | None = None
) -> int | None:
    """Its status; ``None`` for a client that leaves so soon after the request that it may or may not have been admitted."""
    parts, text = urlsplit(url), json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", "host: hub", f"authorization: Bearer {key}", "content-type: application/json"]
    lines += [f"content-length: {len(text)}", "connection: close", *headers]
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write("\r\n".join([*lines, "\r\n"]).encode() + text)
        await writer.drain()
        if leaves_after_s is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(reader.read(1), leaves_after_s)
            return None
        status = int((await reader.readline()).split()[1])
        await reader.read()
        return status
    finally:
        writer.transport.abort()


def body(model: str, **fields: object) -> dict[str, object]:
    return {"model": model, "messages": [{"role": "user", "content": "Hello!"}], **fields}


async def many(
    pair: Pair, key: str, calls: int, *, model: str = "demo-chat", vanishing: Sequence[float | None] = (None,)
) -> Counter[int | None]:
    """To both servers in turn. ``vanishing``: after how many seconds each client in turn leaves, if it does."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> int | None:
        async with slots:
            leaves = vanishing[number % len(vanishing)]
            sent = body(model, stream=number % 3 == 0)
            return await post(pair.url(number), "/v1/chat/completions", key, sent, leaves_after_s=leaves)

    return Counter(await asyncio.gather(*(one(number) for number in range(calls))))


# --- money ------------------------------------------------------------------------------------------------------------


async def test_the_last_unit_is_spent_once_by_200_calls(pair: Pair) -> None:
    key = await asyncio.to_thread(pair.new_key, "last", "--quota", str(PRICE_UNITS))
    assert await many(pair, key, 200) == {200: 1, 402: 199}
    assert pair.first.rows("SELECT used_nano, held_nano FROM keys WHERE name = 'last'") == [
        {"used_nano": 10_000_000, "held_nano": 0}
    ]


async def test_what_an_account_has_is_spent_to_the_end_by_keys_at_both(pair: Pair) -> None:
    await asyncio.to_thread(pair.first.cli, "accounts", "create", "team")
    await asyncio.to_thread(pair.first.cli, "accounts", "grant", "team", str(25 * PRICE_UNITS))
    keys = [await asyncio.to_thread(pair.new_key, f"team-{number}", "--account", "team") for number in range(2)]
    with watched(pair):
        seen = await asyncio.gather(*(many(pair, key, 60) for key in keys))
    assert sum(seen, Counter[int | None]()) == {200: 25, 402: 95}


async def test_a_code_is_redeemed_once_by_100_at_once(pair: Pair) -> None:
    """Ten accounts of ten addresses, at both servers."""
    code, keys = await a_code_and_keys(pair, 10)

    async def redeem(number: int) -> int | None:
        address = f"x-forwarded-for: 198.51.100.{number % 10}"
        return await post(pair.url(number // 10), "/api/user/redemption", keys[number % 10], {"code": code}, [address])

    with watched(pair):
        seen = Counter(await asyncio.gather(*(redeem(number) for number in range(100))))
    assert seen[200] == 1, seen
    assert seen.total() == 100
    assert not seen.keys() - {200, 400, 429}, "worthless to everybody else, or too often tried"
    assert pair.first.rows("SELECT count(*) AS n, sum(amount_nano) AS nano FROM redemptions") == [
        {"n": 1, "nano": CODE_NANO}
    ]


async def a_code_and_keys(pair: Pair, count: int) -> tuple[str, list[str]]:
    """A code for one of so many accounts, which have a key each."""
    store = await Store.open(pair.first.home / "hub.db", clock=SystemClock())
    try:
        made = [await store.accounts.create(f"friend {number}", unlimited=False) for number in range(count)]
        keys = [(await issue_key(store.keys, "k", account.id)).secret for account in made]
        code = (await issue_codes(store.codes, NewBatch("gift", "GIFT", CODE_NANO, 1, None), 1, SYSTEM)).codes[0]
    finally:
        await store.close()
    for server in pair.servers:
        await asyncio.to_thread(server.wait_until, partial(server.accepts, keys[-1]), within_s=PATIENCE_S)
    return code, keys


# --- slots and windows ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("slots", "vanishing"),
    [
        pytest.param(10, (None, 0.0, None, 0.02), id="10, half of the clients vanish"),
        pytest.param(5, (0.0, 0.01, 0.03), id="5, all of the clients vanish"),
    ],
)
async def test_slots_are_never_exceeded_and_come_back(
    pair: Pair, slots: int, vanishing: tuple[float | None, ...]
) -> None:
    """A thousand calls, of which those that leave do so at any moment; then exactly so many are free again."""
    key = await asyncio.to_thread(pair.new_key, f"slots-{slots}", "--concurrent", str(slots))
    with watched(pair) as watch:
        seen = await many(pair, key, 1000, model="demo-slow", vanishing=vanishing)
        await asyncio.to_thread(pair.first.wait_until, lambda: not pair.held(), within_s=GONE_S)
    assert seen[None] == sum(vanishing[number % len(vanishing)] is not None for number in range(1000))
    assert not seen.keys() - {None, 200, 429}
    assert watch.ends > slots
    await asyncio.to_thread(fill_slots, pair, key, slots)


def fill_slots(pair: Pair, key: str, slots: int) -> None:
    """One stream after the other until there is no slot; both servers say the same."""
    with ExitStack() as stack:
        for number in range(slots):
            stack.enter_context(streaming(pair.servers[number % 2], key, "demo-stuck"))
        for server in pair.servers:
            refused = chat(server, key)
            assert (refused.status, refused.code) == (429, "concurrent_calls_exceeded")
    pair.first.wait_until(lambda: not pair.held(), within_s=GONE_S)


async def test_a_minute_takes_ten_of_a_hundred(pair: Pair) -> None:
    key = await asyncio.to_thread(pair.new_key, "rpm", "--rpm", "10")
    with watched(pair):
        seen = await many(pair, key, 100)
    assert not seen.keys() - {200, 429}
    by_minute = pair.first.rows(
        "SELECT count(*) AS n FROM ledger JOIN keys ON keys.id = key_id WHERE name = 'rpm' AND kind = 'hold'"
        " GROUP BY CAST(at / 60 AS INTEGER)"
    )
    taken = [row["n"] for row in by_minute]
    assert max(taken) == 10, "a minute may end meanwhile, but one of the two is full"  # type: ignore[type-var]
    assert seen[200] == sum(taken)  # type: ignore[arg-type]


# --- revoking ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["finish", "cut"])
def test_a_revoked_key_is_out_at_both_and_its_streams_end_as_the_policy_says(home: Path, policy: str) -> None:
    with two(home, policy) as pair:
        key, other = pair.new_key("gone"), pair.new_key("other")
        model = "demo-stuck" if policy == "cut" else "demo-slow"
        here, there = (streaming(server, key, model) for server in pair.servers)
        with streaming(pair.servers[1], other, "demo-slow") as others, here as one, there as another:
            pair.first.cli("keys", "revoke", "gone")
            for server in pair.servers:
                server.wait_until(lambda server=server: chat(server, key).status == 401, within_s=1.5)  # type: ignore[misc]
                assert chat(server, key).code == "key_revoked"
            for answer in (one, another):
                last = events(answer)[-1]
                assert last == "[DONE]" if policy == "finish" else last["error"]["code"] == "key_revoked"
            assert events(others)[-1] == "[DONE]"
        pair.check_books()
        ended = pair.first.rows("SELECT error_code FROM usage WHERE key_id = (SELECT id FROM keys WHERE name = 'gone')")
        assert [row["error_code"] for row in ended] == [None if policy == "finish" else "key_revoked"] * 2

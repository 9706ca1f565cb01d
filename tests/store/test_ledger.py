"""Holds, settlements and releases: each hold ends once, nobody spends what they do not have, the books stay exact."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import cast

import pytest
from msgspec.structs import replace

from relayhub.store.intents import Settled
from relayhub.store.usage import UsageFilter
from relayhub.store.windows import Window
from relayhub.types.call import Outcome, UsageRecord
from relayhub.types.errors import ClientError, ErrorKind
from relayhub.types.key_limits import KeyLimits
from relayhub.types.money import MAX_NANO
from relayhub.types.usage import Usage
from tests.support.books import open_books, record
from tests.support.limited import open_limited


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "books.db"


async def test_a_settlement_charges_the_cost_and_gives_the_rest_back(path: Path) -> None:
    async with open_books(path) as books:
        hold = await books.hold(400)
        assert await books.money() == (1000, 0, 400)
        assert await books.store.ledger.settle(hold, record(cost_nano=150)) == Settled(150, 0)
        assert await books.money() == (1000, 150, 0)
        assert await books.store.ledger.check() == []


async def test_a_release_gives_everything_back(path: Path) -> None:
    async with open_books(path) as books:
        hold = await books.hold(400)
        assert await books.store.ledger.release(hold, record(cost_nano=400)) == Settled(0, 0)
        assert await books.money() == (1000, 0, 0)
        assert await books.store.ledger.check() == []


@pytest.mark.parametrize(("limit", "amount"), [(None, 1001), (500, 501)])
async def test_what_is_not_there_cannot_be_held(path: Path, limit: int | None, amount: int) -> None:
    async with open_books(path, limit=limit) as books:
        with pytest.raises(ClientError) as caught:
            await books.hold(amount)
        assert caught.value.kind is ErrorKind.QUOTA_EXCEEDED
        await books.hold(amount - 1)
        assert await books.store.ledger.check() == []


async def test_a_cost_above_the_hold_takes_what_is_left_and_reports_the_shortfall(path: Path) -> None:
    async with open_books(path) as books:
        first = await books.hold(400)
        second = await books.hold(500)
        assert await books.store.ledger.settle(first, record(cost_nano=700)) == Settled(500, 200)
        assert await books.money() == (1000, 500, 500)
        assert await books.store.ledger.settle(second, record(cost_nano=500)) == Settled(500, 0)
        assert await books.money() == (1000, 1000, 0)
        assert await books.store.ledger.check() == []


async def test_a_keys_limit_bounds_the_charge_too(path: Path) -> None:
    async with open_books(path, limit=500) as books:
        hold = await books.hold(400)
        assert await books.store.ledger.settle(hold, record(cost_nano=900)) == Settled(500, 400)
        assert await books.store.ledger.check() == []


async def test_an_unlimited_account_is_granted_what_it_lacks_and_stays_exact(path: Path) -> None:
    async with open_books(path, total=0, unlimited=True) as books:
        hold = await books.hold(400)
        assert await books.money() == (400, 0, 400)
        assert await books.store.ledger.settle(hold, record(cost_nano=650)) == Settled(650, 0)
        assert await books.money() == (650, 650, 0)
        assert await books.store.ledger.check() == []


async def test_a_hold_ends_exactly_once_whoever_comes_first(path: Path) -> None:
    async with open_books(path) as books:
        hold = await books.hold(400)
        ends = [books.store.ledger.settle(hold, record(cost_nano=100)) for _ in range(50)]
        ends += [books.store.ledger.release(hold, record()) for _ in range(50)]
        results = await asyncio.gather(*ends)
        assert [result.ended_before for result in results].count(False) == 1
        assert results[0] == Settled(100, 0)
        assert await books.money() == (1000, 100, 0)
        assert len(await books.store.usage.rows(UsageFilter(), limit=10)) == 1


async def test_concurrent_holds_never_overdraw(path: Path) -> None:
    async with open_books(path, total=1000) as books:
        results = await asyncio.gather(*(books.hold(10, f"req_{n}") for n in range(300)), return_exceptions=True)
        granted = [result for result in results if isinstance(result, int)]
        assert len(granted) == 100
        assert {type(result) for result in results} == {int, ClientError}
        assert await books.money() == (1000, 0, 1000)


async def test_one_refused_item_does_not_disturb_its_batch(path: Path) -> None:
    async with open_books(path) as books:
        results = await asyncio.gather(books.hold(600), books.hold(600), books.hold(400), return_exceptions=True)
        assert [isinstance(result, int) for result in results] == [True, False, True]
        assert await books.store.ledger.check() == []


async def test_a_caller_that_leaves_before_its_hold_is_decided_holds_nothing(path: Path) -> None:
    async with open_books(path) as books:
        tasks = [asyncio.create_task(books.hold(10, f"req_{n}")) for n in range(50)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        async with asyncio.timeout(5):
            while (await books.money())[2]:
                await asyncio.sleep(0)
        assert await books.store.ledger.check() == []


async def test_a_caller_cancelled_between_the_answer_and_its_wake_up_holds_nothing(path: Path) -> None:
    callers: list[asyncio.Task[int]] = []

    def on_step(name: str) -> None:
        if name == "after_acknowledge":
            for caller in callers:
                caller.cancel()

    async with open_books(path, on_step=on_step) as books:
        callers.append(asyncio.create_task(books.hold(400)))
        with pytest.raises(asyncio.CancelledError):
            await callers[0]
        callers.clear()
        async with asyncio.timeout(5):
            while (await books.money())[2]:
                await asyncio.sleep(0)
        assert await books.store.ledger.check() == []


async def test_a_revoked_or_expired_key_cannot_hold(path: Path) -> None:
    async with open_books(path) as books:
        await books.store.keys.revoke("key")
        with pytest.raises(ClientError) as caught:
            await books.hold(1)
        assert (caught.value.kind, caught.value.code) == (ErrorKind.KEY_BLOCKED, "key_revoked")


async def test_a_revoked_key_still_settles_what_it_held(path: Path) -> None:
    async with open_books(path) as books:
        hold = await books.hold(400)
        await books.store.keys.revoke("key")
        assert await books.store.ledger.settle(hold, record(cost_nano=100)) == Settled(100, 0)


async def test_listeners_hear_of_each_usage_row_once_with_what_was_charged(path: Path) -> None:
    heard: list[UsageRecord] = []
    async with open_books(path) as books:
        books.store.ledger.on_settled(heard.append)
        hold = await books.hold(400, "req_7")
        await books.store.ledger.settle(hold, record("req_7", cost_nano=2000))
        await books.store.ledger.settle(hold, record("req_7", cost_nano=2000))
    assert [(r.call_id, r.cost_nano, r.shortfall_nano) for r in heard] == [("req_7", 1000, 1000)]


@pytest.mark.parametrize("amount", [0, -1, MAX_NANO + 1])
async def test_absurd_grants_are_refused(path: Path, amount: int) -> None:
    async with open_books(path) as books:
        with pytest.raises(ValueError, match="grant"):
            await books.store.ledger.grant(books.account_id, amount, actor="a", reason="r")


async def test_an_adjustment_never_goes_below_what_is_left(path: Path) -> None:
    async with open_books(path) as books:
        await books.hold(900)
        await books.store.ledger.adjust(books.account_id, -100, actor="a", reason="r")
        with pytest.raises(ClientError):
            await books.store.ledger.adjust(books.account_id, -1, actor="a", reason="r")
        assert await books.store.ledger.check() == []


async def test_the_ledger_is_append_only(path: Path) -> None:
    async with open_books(path):
        pass
    with closing(sqlite3.connect(path)) as connection:
        for statement in ("UPDATE ledger SET amount_nano = 0", "DELETE FROM ledger"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                connection.execute(statement)


TAMPERING = {
    "a balance raised": "UPDATE accounts SET total_nano = total_nano + 1",
    "a charge forgotten": "UPDATE accounts SET used_nano = used_nano - 1",
    "a hold forgotten": "UPDATE accounts SET held_nano = 0",
    "a hold removed": "DELETE FROM holds",
    "a hold changed": "UPDATE holds SET amount_nano = 1",
    "a usage row changed": "UPDATE usage SET cost_nano = 1",
    "a usage row removed": "DELETE FROM usage",
    "a key's charge changed": "UPDATE keys SET used_nano = 1",
}


@pytest.mark.parametrize("name", TAMPERING)
async def test_the_check_finds_what_was_altered_by_hand(path: Path, name: str) -> None:
    async with open_books(path) as books:
        await books.store.ledger.settle(await books.hold(400), record(cost_nano=150))
        await books.hold(100, "req_2")
        assert await books.store.ledger.check() == []
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(TAMPERING[name])
        assert await books.store.ledger.check() != []


async def test_absurd_numbers_and_texts_are_stored_within_bounds(path: Path) -> None:
    async with open_books(path) as books:
        hold = await books.hold(400)
        odd = replace(
            record(cost_nano=10**30),
            model="\ud800",
            user_identifier="a\x00b\udfff",
            usage=Usage(10**40, -5),
            outcome=Outcome.COMPLETED,
        )
        assert await books.store.ledger.settle(hold, odd) == Settled(1000, MAX_NANO - 1000)
        assert await books.store.ledger.check() == []


async def test_counts_that_a_plugin_gives_as_fractions_are_charged_like_all_others(path: Path) -> None:
    usage = Usage(cast(int, 3.0), 2, cast(int, 1.0))
    async with open_limited(path, KeyLimits(tokens_per_minute=1000)) as key:
        hold = await key.call(100, tokens=50)
        said = replace(record(cost_nano=50), usage=usage, status=200)
        assert await key.store.ledger.settle(hold, said) == Settled(50, 0)
        with closing(sqlite3.connect(path)) as connection:
            shown = "input_tokens, output_tokens, cached_tokens, cost_nano"
            assert connection.execute(f"SELECT {shown} FROM usage").fetchall() == [(3, 2, 1, 50)]
        counts = await key.store.keys.counts(key.key.key.id)
        assert counts[Window.TOKENS][1] == 5
        assert await key.store.ledger.check() == []

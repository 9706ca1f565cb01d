"""Many calls that are written by one transaction: each row is the one that it would have been alone."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from relayhub.store import call_batch, schema, usage_rows, writer
from relayhub.store.batch import SOON_S
from relayhub.store.intents import Settled
from relayhub.store.ledger import Ledger
from relayhub.testing import FakeClock
from relayhub.types.call import Outcome, UsageRecord
from relayhub.types.errors import HubError
from relayhub.types.media import MediaUsage
from relayhub.types.on_disconnect import OnDisconnect
from relayhub.types.usage import Usage
from tests.support.books import Transactions, open_books, record

SELDOM: list[dict[str, Any]] = [
    {},
    {"error_code": "upstream\udc00gone", "status": None},
    {"user_identifier": "u-1"},
    {"media": MediaUsage(images=2)},
    {"upstream_cost_nano": 12, "price_version": "v3"},
    {"on_disconnect": OnDisconnect.DRAIN, "stream": True, "measured": False},
    {"user_identifier": "ü", "upstream_cost_nano": 7, "first_byte_ms": 3, "media": MediaUsage(characters=4)},
    {"status": 502, "outcome": Outcome.UPSTREAM_ERROR},
    {"status": 200, "attempts": 3},
    {"status": 200, "usage": Usage(9, 8, 3, 2, 1)},
    {"status": 200},
]
COLUMNS = (
    *("status", "error_code", "user_identifier", "first_byte_ms", "media", "price_version", "upstream_cost_nano"),
    *("on_disconnect", "stream", "measured", "outcome", "duration_ms"),
    *("attempts", "input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens"),
)


def read(path: Path, statement: str, *values: object) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement, values).fetchall()


async def settle(ledger: Ledger, holds: list[str], records: list[UsageRecord]) -> list[Settled | BaseException]:
    endings = [ledger.settle(hold, record) for hold, record in zip(holds, records, strict=True)]
    return await asyncio.gather(*endings, return_exceptions=True)


def usage_of(path: Path, call_id: str) -> tuple[Any, ...]:
    (row,) = read(path, f"SELECT {', '.join(COLUMNS)} FROM usage WHERE call_id = ?", call_id)
    return row


async def test_rows_with_and_without_what_is_seldom_filled_are_each_their_own(tmp_path: Path) -> None:
    path, transactions = tmp_path / "books.db", Transactions()
    async with open_books(path, on_step=transactions.on_step) as books:
        rows = []
        for together in (False, True):
            names = [f"req_{together}_{n}" for n in range(len(SELDOM))]
            records = [
                msgspec.structs.replace(record(name), **values) for name, values in zip(names, SELDOM, strict=True)
            ]
            holds = [await books.hold(10, name) for name in names]
            transactions.seen.clear()
            if together:
                await settle(books.store.ledger, holds, records)
            else:
                for hold, one in zip(holds, records, strict=True):
                    await books.store.ledger.settle(hold, one)
            assert len(transactions.seen) == (1 if together else len(SELDOM))
            rows.append([usage_of(path, name) for name in names])
        assert rows[0] == rows[1]
        assert await books.store.ledger.check() == []
    at = {name: place for place, name in enumerate(COLUMNS)}
    told = {name: [row[place] for row in rows[0]] for name, place in at.items()}
    assert told["error_code"] == [None, "upstream?gone", *[None] * 9]
    assert told["user_identifier"] == [None, None, "u-1", None, None, None, "ü", *[None] * 4]
    assert told["upstream_cost_nano"] == [None, None, None, None, 12, None, 7, *[None] * 4]
    assert told["on_disconnect"] == [*[None] * 5, "drain", *[None] * 5]
    assert told["stream"] == [0, 0, 0, 0, 0, 1, *[0] * 5]
    assert [n for n, media in enumerate(told["media"]) if media is not None] == [3, 6]
    assert told["status"] == [*[None] * 7, 502, 200, 200, 200]
    assert told["outcome"] == [*["completed"] * 7, "upstream_error", *["completed"] * 3]
    assert told["measured"] == [*[1] * 5, 0, *[1] * 5]
    assert told["attempts"] == [*[1] * 8, 3, 1, 1]
    counts = ("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens")
    assert [told[name][9] for name in counts] == [9, 8, 3, 2, 1]
    assert [told[name][10] for name in counts] == [*(told[name][0] for name in counts[:2]), 0, 0, 0]


@pytest.mark.parametrize("number", [1, 2, 15, 16, 17, 18, 19, 31, 33, 47, 64, 65, 100, 113])
async def test_however_many_there_are_none_is_left_out(number: int, tmp_path: Path) -> None:
    path = tmp_path / "books.db"
    async with open_books(path, total=10_000) as books:
        names = [f"req_{n}" for n in range(number)]
        holds = await asyncio.gather(*(books.hold(10, name) for name in names))
        assert all(isinstance(end, Settled) for end in await settle(books.store.ledger, holds, [*map(record, names)]))
        assert await books.store.ledger.check() == []
    assert read(path, "SELECT count(*), count(DISTINCT call_id) FROM usage") == [(number, number)]


async def test_rows_of_calls_and_of_accounts_are_in_the_order_in_which_they_were_decided(tmp_path: Path) -> None:
    path, transactions = tmp_path / "books.db", Transactions()
    async with open_books(path, on_step=transactions.on_step) as books:
        ledger, account = books.store.ledger, books.account_id
        transactions.seen.clear()
        await asyncio.gather(
            books.hold(600, "req_1"),
            ledger.grant(account, 500, actor="ann", reason="more"),
            books.hold(700, "req_2"),
            ledger.adjust(account, -100, actor="bob", reason="less"),
        )
        assert len(transactions.seen) == 1
        assert await ledger.check() == []
    rows = read(path, "SELECT kind, call_id, amount_nano, actor, reason, key_id IS NULL FROM ledger ORDER BY id")
    assert rows[1:] == [
        ("hold", "req_1", 600, None, None, 0),
        ("grant", None, 500, "ann", "more", 1),
        ("hold", "req_2", 700, None, None, 0),
        ("adjustment", None, -100, "bob", "less", 1),
    ]


async def test_a_row_that_the_database_refuses_takes_none_of_the_others_with_it(tmp_path: Path) -> None:
    path = tmp_path / "books.db"
    async with open_books(path) as books:
        names = [f"req_{n}" for n in range(5)]
        holds = [await books.hold(10, name) for name in names]
        with closing(sqlite3.connect(path)) as connection:  # which the third row of one statement goes against
            connection.execute("CREATE UNIQUE INDEX once ON usage (operation) WHERE operation = 'twice'")
        records = [
            msgspec.structs.replace(record(name), operation="twice" if n in (1, 2) else "chat")
            for n, name in enumerate(names)
        ]
        ends = await settle(books.store.ledger, holds, records)
        assert [isinstance(end, Settled) for end in ends] == [True, True, False, True, True]
        assert isinstance(ends[2], HubError)
        assert await books.money() == (1000, 0, 10)
        assert await books.store.ledger.check() == []
    assert read(path, "SELECT call_id FROM usage ORDER BY 1") == [("req_0",), ("req_1",), ("req_3",), ("req_4",)]


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that would wait for ever for the next calls, if it had to."""
    monkeypatch.setattr(writer, "LINGER_S", 600.0)
    monkeypatch.setattr(writer, "FEW_LINGER_S", 600.0)


@pytest.mark.usefixtures("patient")
async def test_calls_that_go_on_together_wait_for_each_other_and_not_longer(tmp_path: Path) -> None:
    transactions = Transactions()
    async with open_books(tmp_path / "books.db", on_step=transactions.on_step) as books:

        async def calls() -> None:
            for n in range(5):
                await books.store.ledger.settle(await books.hold(10, f"req_{n}"), record(f"req_{n}"))

        transactions.seen.clear()
        async with asyncio.timeout(30):
            await asyncio.gather(*(calls() for _ in range(8)))
        assert len(transactions.seen) <= 5 * 2 + 4  # the first ones may find nobody to wait for
        assert await books.store.ledger.check() == []


@pytest.mark.usefixtures("patient")
async def test_calls_that_take_long_are_not_waited_for(tmp_path: Path) -> None:
    clock = FakeClock()
    async with open_books(tmp_path / "books.db", clock=clock) as books, asyncio.timeout(30):
        for n in range(8):
            await books.hold(10, f"req_{n}")
        clock.advance(SOON_S * 2)
        for n in range(3):
            holds = await asyncio.gather(books.hold(10, f"req_1{n}"), books.hold(10, f"req_2{n}"))
            await asyncio.gather(*(books.store.ledger.release(hold, None) for hold in holds))


@pytest.mark.usefixtures("patient")
async def test_a_call_that_is_alone_waits_for_nobody(tmp_path: Path) -> None:
    async with open_books(tmp_path / "books.db") as books, asyncio.timeout(30):
        for n in range(3):
            await books.store.ledger.settle(await books.hold(10, f"req_{n}"), record(f"req_{n}"))


@pytest.mark.usefixtures("patient")
async def test_a_store_that_closes_waits_for_nobody(tmp_path: Path) -> None:
    async with open_books(tmp_path / "books.db") as books:
        await asyncio.gather(*(books.hold(10, f"req_{n}") for n in range(8)))
        await asyncio.to_thread(_waits, books.store._writer)
        began = time.monotonic()
    assert time.monotonic() - began < writer.CLOSE_WAIT_S / 2


def _waits(one: writer.Writer) -> None:
    until = time.monotonic() + 10
    while one._wake_at != 8:
        assert time.monotonic() < until


def test_every_column_has_its_place_in_a_statement() -> None:
    """A column that nobody names stays empty, and nothing would say so."""
    seldom = [name for _, names, _ in usage_rows._SELDOM for name in names]
    assert sorted([*usage_rows._USUAL, *seldom]) == sorted(schema.usage.columns.keys())
    ledger = {*call_batch._OF_A_CALL, *call_batch._OF_AN_ACCOUNT, "id"}
    assert ledger == set(schema.ledger.columns.keys())

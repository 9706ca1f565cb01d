"""The ends of streams wait a little for others to share their transaction, where others come, and never for long."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import msgspec
import pytest

from relayhub.store import writer
from relayhub.types.call import UsageRecord
from tests.support.books import Books, Transactions, open_books, record

LONG_S = 600.0
"""Nobody would wait for it to be over."""


@pytest.fixture(autouse=True)
def lively(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "COMPANY_S", LONG_S)
    monkeypatch.setattr(writer, "LIVELY_S", LONG_S)


def streamed(call_id: str) -> UsageRecord:
    return msgspec.structs.replace(record(call_id), stream=True)


async def idle(books: Books) -> None:
    """Until the ledger's thread sleeps."""
    until = time.monotonic() + 10
    while books.store._writer._wake_at != 1:
        assert time.monotonic() < until
        await asyncio.sleep(0)


async def test_whoever_cannot_wait_takes_them_along_in_one_transaction(tmp_path: Path) -> None:
    transactions = Transactions()
    async with open_books(tmp_path / "books.db", on_step=transactions.on_step) as books, asyncio.timeout(30):
        holds = [await books.hold(10, f"req_{n}") for n in range(3)]
        await idle(books)
        transactions.seen.clear()
        ends = [books.store.ledger.settle(hold, streamed(f"req_{n}")) for n, hold in enumerate(holds)]
        await asyncio.sleep(0)
        assert not transactions.seen
        assert not any(end.done() for end in ends)
        await books.hold(10, "req_3")
        assert len(transactions.seen) == 1
        assert all(end.done() for end in ends)
        assert await books.store.ledger.check() == []


async def test_in_vain_they_wait_so_long_and_no_longer_and_seldom_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "COMPANY_S", 0.02)
    async with open_books(tmp_path / "books.db") as books, asyncio.timeout(30):
        holds = [await books.hold(10, f"req_{n}") for n in range(3)]
        await idle(books)
        began = time.monotonic()
        await books.store.ledger.settle(holds[0], streamed("req_0"))
        assert time.monotonic() - began >= 0.019
        await idle(books)
        monkeypatch.setattr(writer, "COMPANY_S", LONG_S)
        await books.store.ledger.settle(holds[1], streamed("req_1"))  # it was in vain before


async def test_a_stream_that_is_alone_never_waits(tmp_path: Path) -> None:
    async with open_books(tmp_path / "books.db") as books, asyncio.timeout(30):
        for n in range(3):
            hold = await books.hold(10, f"req_{n}")
            await idle(books)
            await books.store.ledger.settle(hold, streamed(f"req_{n}"))


async def test_several_that_wait_are_written_when_their_time_is_over_and_the_next_ones_wait_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "COMPANY_S", 0.02)
    transactions = Transactions()
    async with open_books(tmp_path / "books.db", on_step=transactions.on_step) as books, asyncio.timeout(30):
        for turn in range(3):
            holds = [await books.hold(10, f"req_{turn}{n}") for n in range(2)]
            await idle(books)
            transactions.seen.clear()
            began = time.monotonic()
            ends = [books.store.ledger.settle(hold, streamed(f"req_{turn}{n}")) for n, hold in enumerate(holds)]
            await asyncio.gather(*ends)
            assert time.monotonic() - began >= 0.019
            assert len(transactions.seen) == 1


async def test_where_nothing_has_been_written_of_late_they_do_not_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_books(tmp_path / "books.db") as books, asyncio.timeout(30):
        hold, _ = await books.hold(10), await books.hold(10, "req_2")
        await idle(books)
        monkeypatch.setattr(writer, "LIVELY_S", 0.0)
        await books.store.ledger.settle(hold, streamed("req_1"))


async def test_answers_that_are_no_streams_and_holds_given_back_do_not_wait(tmp_path: Path) -> None:
    async with open_books(tmp_path / "books.db") as books, asyncio.timeout(30):
        await books.hold(10, "req_2")
        for end in (books.store.ledger.settle, books.store.ledger.release):
            hold = await books.hold(10)
            await idle(books)
            await end(hold, record())
        hold = await books.hold(10)
        await idle(books)
        await books.store.ledger.release(hold, None)


async def test_a_store_that_closes_writes_them_at_once(tmp_path: Path) -> None:
    async with open_books(tmp_path / "books.db") as books, asyncio.timeout(30):
        hold, _ = await books.hold(10), await books.hold(10, "req_2")
        await idle(books)
        end = books.store.ledger.settle(hold, streamed("req_1"))
        await asyncio.sleep(0)
        assert not end.done()
    assert end.done()
    assert not end.exception()


async def test_who_is_expected_by_a_transaction_in_company_does_not_wait_for_more(tmp_path: Path) -> None:
    """The ledger's thread gathers already, and wants to be woken by the last one that it expects."""
    async with open_books(tmp_path / "books.db") as books, asyncio.timeout(30):
        holds = [await books.hold(10, f"req_{n}") for n in range(3)]
        await idle(books)
        one = books.store._writer
        one._wake_at = 3
        ends = [books.store.ledger.settle(hold, streamed(f"req_{n}")) for n, hold in enumerate(holds)]
        assert one._gathering is None
        await asyncio.gather(*ends)


async def test_a_store_that_closes_waits_for_no_timer(tmp_path: Path) -> None:
    async with open_books(tmp_path / "books.db") as books, asyncio.timeout(30):
        hold, _ = await books.hold(10), await books.hold(10, "req_2")
        await idle(books)
        end = books.store.ledger.settle(hold, streamed("req_1"))
        assert books.store._writer._gathering is not None
    assert books.store._writer._gathering is None
    assert (await end).charged_nano == 0

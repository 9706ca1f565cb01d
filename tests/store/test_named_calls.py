"""Clients' own names for their calls: one call for each, whatever dies when, and nothing charged twice."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from relayhub.store.named_calls import (
    KEPT_S,
    MAX_ANSWER,
    MAX_KEY_BYTES,
    Begun,
    CallName,
    Ended,
    Found,
    KeptAnswer,
    OtherBody,
    UnderWay,
)
from relayhub.store.store import Store
from relayhub.testing import FakeClock
from relayhub.types.call import Outcome
from tests.support.books import Books, open_books, record

NOW = 1000.0
ANSWER = KeptAnswer(b'{"said": "Canary"}', "application/json", ("seed",))
NAME = CallName("key_1", "n" * 64, "b" * 64)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "books.db"


@pytest.fixture
async def books(path: Path) -> AsyncIterator[Books]:
    async with open_books(path) as opened:
        yield opened


@pytest.fixture
async def other(books: Books, path: Path) -> AsyncIterator[Store]:
    """A second store on the same file, as another process would have it."""
    store = await Store.open(path, clock=FakeClock())
    yield store
    await store.close()


def name_of(books: Books) -> CallName:
    return replace(NAME, key_id=books.issued.key.id)


async def begin(
    store: Store, name: CallName, call_id: str, now: float = NOW, serving: frozenset[str] = frozenset()
) -> Found:
    return await store.named_calls.begin(name, call_id, now, serving=serving)


def kill_owner(path: Path) -> None:
    """As if the process that serves the calls had died, and its epoch had been tidied away."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE named_calls SET epoch_id = 'epoch_of_the_dead'")


async def test_of_many_at_once_one_begins(books: Books, other: Store) -> None:
    name = name_of(books)
    calls = [f"req_{n}" for n in range(10)]
    serving = frozenset(calls)
    stores = [books.store, other] * 5
    found = await asyncio.gather(
        *(begin(store, name, call, serving=serving) for store, call in zip(stores, calls, strict=True))
    )
    assert sorted(type(one).__name__ for one in found) == ["Begun"] + ["UnderWay"] * 9


async def test_an_answer_is_given_again_until_its_day_is_over(books: Books, other: Store) -> None:
    name = name_of(books)
    assert await begin(books.store, name, "req_1") == Begun()
    await books.store.named_calls.end(name, "req_1", ANSWER)
    for store in (books.store, other):
        assert await begin(store, name, "req_2", NOW + KEPT_S - 1) == Ended("req_1", ANSWER)
    assert await begin(other, name, "req_2", NOW + KEPT_S) == Begun()


async def test_a_name_is_one_requests_and_one_keys(books: Books) -> None:
    name = name_of(books)
    await begin(books.store, name, "req_1")
    await books.store.named_calls.end(name, "req_1", ANSWER)
    assert await begin(books.store, replace(name, body_hash="c" * 64), "req_2") == OtherBody()
    assert await begin(books.store, replace(name, key_id="key_of_another"), "req_3") == Begun()


@pytest.mark.parametrize(("size", "kept"), [(MAX_ANSWER, True), (MAX_ANSWER + 1, False)])
async def test_only_so_much_is_kept(books: Books, size: int, kept: bool) -> None:
    name, answer = name_of(books), KeptAnswer(b"x" * size, "text/plain")
    await begin(books.store, name, "req_1")
    await books.store.named_calls.end(name, "req_1", answer)
    assert await begin(books.store, name, "req_2") == Ended("req_1", answer if kept else None)


async def test_answers_are_sealed_where_they_belong(books: Books, path: Path) -> None:
    name = name_of(books)
    await begin(books.store, name, "req_1")
    await books.store.named_calls.end(name, "req_1", ANSWER)
    with closing(sqlite3.connect(path)) as connection, connection:
        (sealed,) = connection.execute("SELECT sealed FROM named_calls").fetchone()
        assert b"Canary" not in sealed
        connection.execute("UPDATE named_calls SET call_id = 'req_9'")
    assert await begin(books.store, name, "req_2") == Ended("req_9", None)


async def test_a_call_that_failed_for_nothing_gives_its_name_back(books: Books) -> None:
    name = name_of(books)
    await begin(books.store, name, "req_1")
    hold = await books.hold(10, "req_1")
    await books.store.ledger.settle(hold, record("req_1", 0, Outcome.UPSTREAM_ERROR))
    await books.store.named_calls.give_up(name, "req_1")
    assert await begin(books.store, name, "req_2") == Begun()


async def test_a_call_that_failed_and_was_charged_keeps_it(books: Books) -> None:
    name = name_of(books)
    await begin(books.store, name, "req_1")
    hold = await books.hold(10, "req_1")
    await books.store.ledger.settle(hold, structs.replace(record("req_1", 5, Outcome.CLIENT_LEFT), at=NOW))
    await books.store.named_calls.give_up(name, "req_1")
    assert await begin(books.store, name, "req_2") == Ended("req_1", None)


async def test_a_call_that_died_with_its_process_before_it_cost_anything_may_be_served_anew(
    books: Books, other: Store, path: Path
) -> None:
    name = name_of(books)
    await begin(books.store, name, "req_1")
    assert await begin(other, name, "req_2") == UnderWay()
    kill_owner(path)
    assert await begin(other, name, "req_2") == Begun()


async def test_a_call_that_was_charged_and_died_before_its_answer_was_kept_is_not_served_again(
    books: Books, other: Store, path: Path
) -> None:
    name = name_of(books)
    await begin(books.store, name, "req_1")
    hold = await books.hold(10, "req_1")
    kill_owner(path)
    assert await begin(other, name, "req_2") == UnderWay()
    await books.store.ledger.settle(hold, structs.replace(record("req_1", 5), at=NOW))
    assert await begin(other, name, "req_2") == Ended("req_1", None)


async def test_a_call_that_this_process_has_forgotten_is_not_waited_for(books: Books) -> None:
    name = name_of(books)
    await begin(books.store, name, "req_1")
    assert await begin(books.store, name, "req_2", serving=frozenset({"req_1"})) == UnderWay()
    assert await begin(books.store, name, "req_2") == Begun()


async def test_a_call_that_was_replaced_writes_nothing_over_its_successor(books: Books) -> None:
    name = name_of(books)
    await begin(books.store, name, "req_1")
    await begin(books.store, name, "req_2")
    await books.store.named_calls.end(name, "req_1", ANSWER)
    await books.store.named_calls.give_up(name, "req_1")
    assert await begin(books.store, name, "req_3", serving=frozenset({"req_2"})) == UnderWay()


async def test_what_has_expired_is_deleted(books: Books, path: Path) -> None:
    name = name_of(books)
    await begin(books.store, name, "req_1")
    await begin(books.store, replace(name, name="m" * 64), "req_2", NOW + 1)
    assert await books.store.named_calls.sweep(NOW + KEPT_S) is False
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT call_id FROM named_calls").fetchall() == [("req_2",)]


async def keep(books: Books, number: int, size: int, key_id: str | None = None) -> CallName:
    name = replace(name_of(books), name=f"{number:064}", **({} if key_id is None else {"key_id": key_id}))
    assert await begin(books.store, name, f"req_{number}", now=NOW + number) == Begun()
    await books.store.named_calls.end(name, f"req_{number}", KeptAnswer(b"x" * size, "text/plain"))
    return name


def kept_bytes(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT coalesce(sum(length(sealed)), 0) FROM named_calls").fetchone()[0])


async def test_a_key_keeps_so_much_and_the_oldest_answers_go_first(books: Books, path: Path) -> None:
    names = [await keep(books, number, MAX_ANSWER) for number in range(24)]
    assert MAX_KEY_BYTES // 2 < kept_bytes(path) <= MAX_KEY_BYTES * 9 // 8 + MAX_ANSWER
    first = await begin(books.store, names[0], "again", now=NOW + 100)
    last = await begin(books.store, names[-1], "again", now=NOW + 100)
    assert first == Ended("req_0", None), "that it was served stays known"
    assert isinstance(last, Ended)
    assert last.answer is not None


async def test_all_keys_together_keep_so_much(books: Books, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relayhub.store.named_calls.MAX_BYTES", 80_000)
    for number in range(40):
        await keep(books, number, 4_000, key_id=f"key_{number}")
    assert 40_000 < kept_bytes(path) <= 80_000 * 9 // 8 + 5_000


async def test_a_process_that_starts_looks_at_what_was_there_before_it(
    books: Books, other: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(10):
        await keep(books, number, 4_000)
    monkeypatch.setattr("relayhub.store.named_calls.MAX_KEY_BYTES", 10_000)
    name = replace(name_of(books), name="f" * 64)
    await begin(other, name, "req_new", now=NOW + 50)
    await other.named_calls.end(name, "req_new", KeptAnswer(b"x", "text/plain"))
    assert kept_bytes(path) <= 10_000

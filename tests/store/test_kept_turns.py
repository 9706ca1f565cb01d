"""Signed thinking that waits for its conversation."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from relayhub.store import kept_turns
from relayhub.store.kept_turns import KEPT_S, KeptTurn
from relayhub.store.store import Store
from relayhub.testing import FakeClock

STATE = b'{"signature": "EqQBCanary"}'


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(tmp_path / "hub.db", clock=FakeClock())
    yield opened
    await opened.close()


def turn(ref: str, state: bytes = STATE) -> KeptTurn:
    return KeptTurn(ref, "claude", state)


async def test_what_is_kept_is_found_by_its_account_only(store: Store) -> None:
    await store.kept_turns.keep("a", [turn("call:1"), turn("call:2")], 0)
    assert await store.kept_turns.find("a", ["call:1", "call:3"], 1) == {"call:1": turn("call:1")}
    assert await store.kept_turns.find("b", ["call:1"], 1) == {}


async def test_another_process_finds_it(store: Store, tmp_path: Path) -> None:
    await store.kept_turns.keep("a", [turn("call:1")], 0)
    other = await Store.open(tmp_path / "hub.db", clock=FakeClock())
    assert await other.kept_turns.find("a", ["call:1"], 1) == {"call:1": turn("call:1")}
    await other.close()


async def test_nothing_of_it_can_be_read_in_the_file(store: Store, tmp_path: Path) -> None:
    await store.kept_turns.keep("a", [turn("call:1")], 0)
    await store.close()
    assert all(b"Canary" not in path.read_bytes() for path in tmp_path.iterdir())


async def test_a_reference_that_comes_again_is_replaced(store: Store) -> None:
    await store.kept_turns.keep("a", [turn("call:1", b"old")], 0)
    await store.kept_turns.keep("a", [turn("call:1", b"new")], 1)
    assert (await store.kept_turns.find("a", ["call:1"], 2))["call:1"].state == b"new"


async def test_a_row_moved_to_another_account_cannot_be_opened(store: Store, tmp_path: Path) -> None:
    await store.kept_turns.keep("a", [turn("call:1")], 0)
    with closing(sqlite3.connect(tmp_path / "hub.db")) as connection, connection:
        connection.execute("UPDATE kept_turns SET account_id = 'b'")
    assert await store.kept_turns.find("b", ["call:1"], 1) == {}


async def test_after_a_day_it_is_gone(store: Store, tmp_path: Path) -> None:
    await store.kept_turns.keep("a", [turn("call:1")], 0)
    assert await store.kept_turns.find("a", ["call:1"], KEPT_S) == {}
    await store.kept_turns.keep("b", [turn("call:2")], KEPT_S)
    with closing(sqlite3.connect(tmp_path / "hub.db")) as connection:
        assert connection.execute("SELECT ref FROM kept_turns").fetchall() == [("call:2",)]


async def test_an_account_keeps_a_bounded_number_and_the_oldest_leave(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_turns, "MAX_PER_ACCOUNT", 3)
    for at in range(5):
        await store.kept_turns.keep("a", [turn(f"call:{at}")], at)
    await store.kept_turns.keep("b", [turn("call:0")], 9)
    found = [ref for at in range(5) for ref in await store.kept_turns.find("a", [f"call:{at}"], 10)]
    assert found == ["call:2", "call:3", "call:4"]
    assert await store.kept_turns.find("b", ["call:0"], 10)

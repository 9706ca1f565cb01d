"""Ten thousand mixed calls by processes that take turns on one file, and are killed, with the equations of the books checked
every 10 ms; and whether whoever checks would notice. ``scripts/sweep ledger 1000000`` is the long form."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.store.ledger_sweep import sweep
from tests.store.watch import Watch
from tests.support.books import open_books, record

CALLS, CALLERS, KILLS = 10_000, 3, 3


@pytest.mark.timeout(300)
async def test_ten_thousand_mixed_calls_leave_no_violation_at_any_moment(tmp_path: Path) -> None:
    going, watch = await asyncio.to_thread(sweep, tmp_path, CALLS, callers=CALLERS, kills=KILLS, seed=7)
    assert going.wrong == []
    assert going.done.total() >= CALLS - CALLERS * KILLS * 32
    assert going.killed == KILLS
    assert watch.looks > 10
    assert watch.ends > CALLS / 2
    rare = {"settled", "released", "ended by many", "left", "job", "granted", "adjusted", "redeemed", "rotated"}
    assert rare <= going.done.keys()


FORGERIES = {
    "an account's total raised": "UPDATE accounts SET total_nano = total_nano + 1",
    "an account's use lowered": "UPDATE accounts SET used_nano = used_nano - 1",
    "a key's use lowered": "UPDATE keys SET used_nano = used_nano - 1",
    "an account holds more": "UPDATE accounts SET held_nano = held_nano + 1",
    "a key holds more": "UPDATE keys SET held_nano = held_nano + 1",
    "a hold forgotten": "DELETE FROM holds",
    "a hold raised": "UPDATE holds SET amount_nano = amount_nano + 1",
    "a hold for nobody": (
        "INSERT INTO holds (hold_id, call_id, account_id, key_id, amount_nano, epoch_id, created_at, about)"
        " SELECT 999, 'req_x', account_id, id, 0, 'jobs', 1, '{}' FROM keys"
    ),
    "more calls at a time than may be": "UPDATE keys SET limits = '{\"concurrent_calls\":0}'",
    "more calls in a minute than may be": "UPDATE keys SET limits = '{\"requests_per_minute\":1}'",
    "a limit below what is used": "PRAGMA ignore_check_constraints = ON; UPDATE keys SET limit_nano = 10",
    "a charge that no call has": "UPDATE usage SET cost_nano = cost_nano + 1 WHERE cost_nano > 0",
    "a call without its row": "DELETE FROM usage WHERE cost_nano > 0",
    "a ledger row gone": "DROP TRIGGER ledger_no_delete; DELETE FROM ledger WHERE kind = 'settlement'",
    "a release of less": "DROP TRIGGER ledger_no_update; UPDATE ledger SET amount_nano = 1 WHERE kind = 'release'",
}


@pytest.mark.parametrize("name", FORGERIES)
async def test_whoever_looks_notices(name: str, tmp_path: Path) -> None:
    path = tmp_path / "books.db"
    async with open_books(path) as books:
        await books.store.ledger.release(await books.hold(100, "req_1"), record("req_1"))
        await books.store.ledger.settle(await books.hold(400, "req_2"), record("req_2", cost_nano=150))
        await books.hold(10, "req_3")
        assert looked(path) == []
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(FORGERIES[name])
        assert looked(path) != []


def looked(path: Path) -> list[str]:
    watch = Watch.of(path)
    try:
        watch.look()
        return watch.wrong
    finally:
        watch.close()

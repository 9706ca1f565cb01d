"""``ledger check`` against somebody who edits the file: the append-only triggers are gone, the equations are not."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.books import open_books, record

SETTLED = "(SELECT hold_id FROM ledger WHERE kind = 'settlement')"
GIVEN_BACK = "(SELECT hold_id FROM ledger WHERE kind = 'release')"
FREE_USAGE = "DELETE FROM usage WHERE id IN (SELECT id FROM ledger WHERE kind = 'release')"

FORGERIES = {
    "a grant raised": "UPDATE ledger SET amount_nano = amount_nano + 1 WHERE kind = 'grant'",
    "a charge raised": "UPDATE ledger SET amount_nano = amount_nano + 1 WHERE kind = 'settlement'",
    "a charge taken off its key": "UPDATE ledger SET key_id = NULL WHERE kind = 'settlement'",
    "a release raised": "UPDATE ledger SET amount_nano = amount_nano + 1 WHERE kind = 'release'",
    "a charged call erased": f"DELETE FROM ledger WHERE hold_id IN {SETTLED}",
    "a free call erased from the ledger": f"DELETE FROM ledger WHERE hold_id IN {GIVEN_BACK}",
    "a free call erased everywhere": (f"{FREE_USAGE}; DELETE FROM ledger WHERE hold_id IN {GIVEN_BACK}"),
    "a free call given to a key that is not there": (
        f"UPDATE ledger SET key_id = 'key_x' WHERE hold_id IN {GIVEN_BACK};"
        "UPDATE usage SET key_id = 'key_x' WHERE id IN (SELECT id FROM ledger WHERE kind = 'release')"
    ),
    "an open hold without its process": "UPDATE holds SET epoch_id = 'epoch_x'",
}


@pytest.mark.parametrize("name", FORGERIES)
async def test_an_altered_ledger_is_noticed(name: str, tmp_path: Path) -> None:
    path = tmp_path / "books.db"
    async with open_books(path) as books:
        await books.store.ledger.release(await books.hold(100, "req_1"), record("req_1"))
        await books.store.ledger.settle(await books.hold(400, "req_2"), record("req_2", cost_nano=150))
        await books.hold(10, "req_3")
        assert await books.store.ledger.check() == []
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(
                f"DROP TRIGGER ledger_no_update; DROP TRIGGER ledger_no_delete; {FORGERIES[name]};"
            )
        assert await books.store.ledger.check() != []

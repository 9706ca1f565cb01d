"""kill -9 at every step of every ledger transaction: afterwards the books are exact, no hold is open, and what was charged
lies between what was delivered and what was executed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from relayhub.store.steps import STEPS
from relayhub.store.store import Store
from relayhub.testing import FakeClock
from tests.support.books import open_books

ROOT = Path(__file__).parent.parent.parent
CALLS = 3
TRANSACTIONS = 1 + 2 * CALLS
"""The clean-up at the start, then a hold and a settlement for each call."""


@pytest.mark.parametrize("step", STEPS)
async def test_the_books_survive_a_kill_at(step: str, tmp_path: Path) -> None:
    path = tmp_path / "books.db"
    async with open_books(path, total=10_000) as books:
        key_id, account_id = books.issued.key.id, books.account_id
    charged_before = 0
    for nth in range(1, TRANSACTIONS + 1):
        child = subprocess.run(
            [sys.executable, "-m", "tests.store.crash_child", str(path), key_id, account_id, step, str(nth)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert child.returncode == -9, child.stderr
        store = await Store.open(path, durability="process", clock=FakeClock())
        try:
            assert await store.ledger.check() == []
            balance = (await store.accounts.get(account_id)).balance
        finally:
            await store.close()
        assert balance.held_nano == 0
        charged = (balance.used_nano - charged_before) // 40
        charged_before = balance.used_nano
        assert child.stdout.count("delivered") <= charged <= child.stdout.count("executed") + 1

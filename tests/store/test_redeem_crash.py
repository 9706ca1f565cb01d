"""kill -9 at every step of a redemption: afterwards a code was used and its value added, or neither."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest

from relayhub.accounts.code_text import hash_code
from relayhub.accounts.codes import issue_codes
from relayhub.store.audit import Actor
from relayhub.store.codes import NewBatch
from relayhub.store.steps import STEPS
from relayhub.store.store import Store
from relayhub.testing import FakeClock
from relayhub.types.errors import ClientError
from tests.support.books import open_books

ROOT = Path(__file__).parent.parent.parent
VALUE = 40
BY = Actor("test")


@pytest.mark.parametrize("step", STEPS)
async def test_a_code_is_never_half_redeemed(step: str, tmp_path: Path) -> None:
    path = tmp_path / "books.db"
    async with open_books(path, total=1000) as books:
        issued = await issue_codes(books.store.codes, NewBatch("sweep", "S", VALUE, 1, None), 2, BY)
        account_id = books.account_id
    hashes = [hash_code(code) or "" for code in issued.codes]
    added = 0
    for nth in (2, 3):  # the first transaction is the clean-up at the start
        child = subprocess.run(
            [sys.executable, "-m", "tests.store.redeem_child", str(path), account_id, step, str(nth), *hashes],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert child.returncode == -9, child.stderr
        added += child.stdout.count("added")
        assert await total_of(path, account_id) >= 1000 + added * VALUE
    store = await Store.open(path, durability="process", clock=FakeClock())
    try:
        for code_hash in hashes:
            with contextlib.suppress(ClientError):
                await store.ledger.redeem(code_hash, account_id, key_id=None, by=BY)
    finally:
        await store.close()
    assert await total_of(path, account_id) == 1000 + 2 * VALUE


async def total_of(path: Path, account_id: str) -> int:
    store = await Store.open(path, durability="process", clock=FakeClock())
    try:
        assert await store.ledger.check() == []
        assert await store.audit.first_broken() is None
        return (await store.accounts.get(account_id)).balance.total_nano
    finally:
        await store.close()

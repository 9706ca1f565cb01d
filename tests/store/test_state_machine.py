"""Whatever order things come in: after each step the books are exact and nobody is overdrawn."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from relayhub.accounts.code_text import hash_code
from relayhub.accounts.codes import issue_codes
from relayhub.accounts.issuing import IssuedKey, issue_key
from relayhub.store.audit import SYSTEM
from relayhub.store.codes import NewBatch
from relayhub.store.intents import NewHold
from relayhub.store.store import Store
from relayhub.testing import FakeClock
from relayhub.types.errors import ClientError
from tests.support.books import ABOUT, record

amounts = st.integers(0, 400)


class Books(RuleBasedStateMachine):
    holds = Bundle("holds")
    codes = Bundle("codes")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.loop = asyncio.new_event_loop()
        self.total = 0
        self.used = 0
        self.open: dict[str, int] = {}
        self.redeemed: set[str] = set()
        self.calls = 0

    def run(self, work):  # type: ignore[no-untyped-def]
        return self.loop.run_until_complete(work)

    @initialize(limit=st.one_of(st.none(), st.integers(1, 1500)), grant=st.integers(1, 2000))
    def begin(self, limit: int | None, grant: int) -> None:
        self.limit, self.revoked = limit, False
        self.store = self.run(self._open())
        self.account = self.run(self.store.accounts.create("a")).id
        self.key: IssuedKey = self.run(issue_key(self.store.keys, "k", self.account, limit_nano=limit))
        self.grant(grant)

    async def _open(self) -> Store:
        path = Path(self.folder.name) / "books.db"
        return await Store.open(path, durability="process", clock=FakeClock())

    @property
    def spendable(self) -> int:
        held = sum(self.open.values())
        account = self.total - self.used - held
        return account if self.limit is None else min(account, self.limit - self.used - held)

    @rule(amount=st.integers(1, 500))
    def grant(self, amount: int) -> None:
        self.run(self.store.ledger.grant(self.account, amount, actor="t", reason="r"))
        self.total += amount

    @rule(target=codes, value=st.integers(1, 500))
    def issue(self, value: int) -> tuple[str, int]:
        new = NewBatch("b", "B", value, 1, None)
        return self.run(issue_codes(self.store.codes, new, 1, SYSTEM)).codes[0], value

    @rule(code=codes)
    def redeem(self, code: tuple[str, int]) -> None:
        text, value = code
        redeeming = self.store.ledger.redeem(hash_code(text), self.account, key_id=self.key.key.id, by=SYSTEM)
        try:
            done = self.run(redeeming)
        except ClientError:
            assert self.revoked or text in self.redeemed
            return
        assert not self.revoked
        assert text not in self.redeemed
        assert done.added_nano == value
        self.redeemed.add(text)
        self.total += value

    @rule(target=holds, amount=amounts)
    def hold(self, amount: int) -> str:
        self.calls += 1
        new = NewHold(f"req_{self.calls}", self.key.key.id, self.account, amount, ABOUT)
        try:
            hold_id: str = self.run(self.store.ledger.hold(new))
        except ClientError:
            assert self.revoked or amount > self.spendable
            return ""
        assert not self.revoked
        assert amount <= self.spendable
        self.open[hold_id] = amount
        return hold_id

    @rule(hold=consumes(holds), cost=st.integers(0, 800))
    def settle(self, hold: str, cost: int) -> None:
        if hold not in self.open:
            return
        result = self.run(self._ended(self.store.ledger.settle(hold, record(cost_nano=cost))))
        most = self.spendable + self.open.pop(hold)
        assert (result.charged_nano, result.shortfall_nano) == (min(cost, most), max(0, cost - most))
        self.used += result.charged_nano

    @rule(hold=consumes(holds))
    def release(self, hold: str) -> None:
        if hold in self.open:
            self.run(self._ended(self.store.ledger.release(hold, record())))
            del self.open[hold]

    @rule(hold=holds)
    def release_and_settle_again(self, hold: str) -> None:
        if hold in self.open:
            self.run(self._ended(self.store.ledger.release(hold, None)))
            assert self.run(self._ended(self.store.ledger.settle(hold, record(cost_nano=9)))).ended_before
            del self.open[hold]

    async def _ended(self, future):  # type: ignore[no-untyped-def]
        return await future

    @rule()
    def revoke(self) -> None:
        if not self.revoked:
            self.run(self.store.keys.revoke(self.key.key.id))
            self.revoked = True

    @rule()
    def restart(self) -> None:
        """In one process the epoch of the closed store still lives, so its holds stay; they are ended by hand."""
        self.run(self.store.close())
        self.store = self.run(self._open())

    @invariant()
    def exact(self) -> None:
        if not hasattr(self, "store"):
            return
        assert self.run(self.store.ledger.check()) == []
        balance = self.run(self.store.accounts.get(self.account)).balance
        assert (balance.total_nano, balance.used_nano, balance.held_nano) == (
            self.total,
            self.used,
            sum(self.open.values()),
        )
        assert balance.remaining_nano >= 0

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.run(self.store.close())
        self.loop.close()
        self.folder.cleanup()


TestBooks = Books.TestCase
TestBooks.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)

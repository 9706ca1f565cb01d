"""A real store on a real file, with the little that ledger tests need around it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from relayhub.accounts.issuing import IssuedKey, issue_key
from relayhub.sdk.clock import Clock
from relayhub.store.intents import HoldAbout, NewHold
from relayhub.store.steps import no_step
from relayhub.store.store import Store
from relayhub.testing import FakeClock
from relayhub.types.call import Outcome, UsageRecord
from relayhub.types.usage import Usage

ABOUT = HoldAbout("chat", "openai.chat", "m", "p", "m-up", stream=False, price="free")


def record(call_id: str = "req_1", cost_nano: int = 0, outcome: Outcome = Outcome.COMPLETED) -> UsageRecord:
    return UsageRecord(
        call_id=call_id,
        at=1.0,
        account_id="",
        key_id="",
        operation="chat",
        dialect="openai.chat",
        model="m",
        provider="p",
        upstream_model="m-up",
        stream=False,
        outcome=outcome,
        measured=True,
        usage=Usage(3, 2),
        cost_nano=cost_nano,
        price="free",
    )


@dataclass
class Books:
    """A store with one account and one key. ``total``: what the account was granted, in nano-USD."""

    store: Store
    account_id: str
    issued: IssuedKey

    def new_hold(self, amount_nano: int, call_id: str = "req_1") -> NewHold:
        return NewHold(call_id, self.issued.key.id, self.account_id, amount_nano, ABOUT)

    async def hold(self, amount_nano: int, call_id: str = "req_1") -> int:
        return await self.store.ledger.hold(self.new_hold(amount_nano, call_id))

    async def money(self) -> tuple[int, int, int]:
        """total, used, held."""
        balance = (await self.store.accounts.get(self.account_id)).balance
        return balance.total_nano, balance.used_nano, balance.held_nano


@dataclass
class Transactions:
    """How many there were."""

    seen: list[str] = field(default_factory=list)

    def on_step(self, name: str) -> None:
        if name == "after_commit":
            self.seen.append(name)


@asynccontextmanager
async def open_books(
    path: Path,
    *,
    total: int = 1000,
    limit: int | None = None,
    unlimited: bool = False,
    clock: Clock | None = None,
    on_step: Callable[[str], None] = no_step,
    lock_wait_s: float = 10.0,
    durability: str = "process",
) -> AsyncIterator[Books]:
    store = await Store.open(
        path, durability=durability, clock=clock or FakeClock(), on_step=on_step, lock_wait_s=lock_wait_s
    )
    try:
        account = await store.accounts.create("acme", unlimited=unlimited)
        if total:
            await store.ledger.grant(account.id, total, actor="test", reason="to begin with")
        yield Books(store, account.id, await issue_key(store.keys, "key", account.id, limit_nano=limit))
    finally:
        await store.close()

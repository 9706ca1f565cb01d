"""Run by the sweep of the ledger: one process that does everything that moves money, in an order that its seed decides,
beside others on the same file. Arguments: database, number of calls, seed, file with codes' hashes. What was done is said in
lines of JSON, counted since the line before; ``trouble`` is something that nobody should ever meet."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from relayhub.accounts.issuing import issue_key, rotate_key
from relayhub.sdk.clock import SystemClock
from relayhub.store.audit import SYSTEM
from relayhub.store.intents import NewHold, OpenHold
from relayhub.store.keys import Key
from relayhub.store.store import Store
from relayhub.types.call import UsageRecord
from relayhub.types.errors import ClientError
from tests.support.books import ABOUT, record
from tests.support.limited import OPEN, a_job

AT_ONCE = 32
REPORT_EVERY = 200
MOST = 400
"""Nano-USD that a call holds."""


@dataclass
class Caller:
    store: Store
    dice: random.Random
    codes: Sequence[str]
    name: str
    keys: list[Key] = field(default_factory=list)
    number: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    async def run(self, calls: int) -> None:
        self.keys = [key for key in await self.store.keys.all() if key.revoked_at is None]
        left = iter(range(calls))
        await asyncio.gather(*(self._work(left) for _ in range(AT_ONCE)))
        self._report()

    async def _work(self, left: Iterator[int]) -> None:
        for _ in left:
            act = self.dice.choices(ACTIONS, WEIGHTS)[0]
            try:
                done = await act(self)
            except ClientError as error:
                done = error.code
                if error.code == "key_revoked":
                    self.keys = [key for key in await self.store.keys.all() if key.revoked_at is None]
            self.counts[done] += 1
            if self.counts.total() >= REPORT_EVERY:
                self._report()

    def _report(self) -> None:
        sys.stdout.write(json.dumps(self.counts) + "\n")
        sys.stdout.flush()
        self.counts.clear()

    def _new(self, *, video_ms: int = 0) -> NewHold:
        self.number += 1
        key, amount = self.dice.choice(self.keys), self.dice.randint(0, MOST)
        tokens = 0 if video_ms else self.dice.randint(0, 50)
        return NewHold(f"req_{self.name}_{self.number}", key.id, key.account_id, amount, ABOUT, tokens, video_ms)

    def _record(self, new: NewHold, most: int) -> UsageRecord:
        return record(new.call_id, cost_nano=self.dice.randint(0, most))

    async def _held(self) -> tuple[NewHold, int]:
        new = self._new()
        return new, await self.store.ledger.hold(new)

    # --- what may happen ----------------------------------------------------------------------------------------------

    async def settled(self) -> str:
        """Sometimes for more than was held."""
        new, hold = await self._held()
        await self.store.ledger.settle(hold, self._record(new, new.amount_nano * 5 // 4))
        return "settled"

    async def released(self) -> str:
        new, hold = await self._held()
        await self.store.ledger.release(hold, record(new.call_id) if self.dice.random() < 0.5 else None)
        return "released"

    async def ended_by_many(self) -> str:
        """Whoever comes first ends it, all others change nothing."""
        new, hold = await self._held()
        ends = [self.store.ledger.settle(hold, self._record(new, MOST)) for _ in range(2)]
        ends += [self.store.ledger.release(hold, None) for _ in range(2)]
        self.dice.shuffle(ends)
        won = [not one.ended_before for one in await asyncio.gather(*ends)].count(True)
        return "ended by many" if won == 1 else f"trouble: {won} ends of one hold"

    async def left(self) -> str:
        """The caller goes at any moment of the admission: nothing stays held."""
        holding = asyncio.create_task(self.store.ledger.hold(self._new()))
        for _ in range(self.dice.randint(0, 3)):
            await asyncio.sleep(0)
        holding.cancel()
        await asyncio.wait([holding])
        if holding.cancelled() or holding.exception() is not None:
            return "left"
        await self.store.ledger.release(holding.result(), None)
        return "left too late"

    async def job(self) -> str:
        new = self._new(video_ms=1000)
        made = a_job(new, SystemClock().now())
        opened = await self.store.jobs.open(OpenHold(new, msgspec.json.encode(new.about).decode()), made, b"{}")
        made = replace(made, hold_id=opened.hold_id)
        charge = self.dice.random() < 0.7
        changes = {"state": "succeeded" if charge else "failed"}
        came_to = self._record(new, new.amount_nano)
        ends = [self.store.jobs.finish(made, OPEN, changes, came_to, charge=charge) for _ in range(2)]
        won = (await asyncio.gather(*ends)).count(True)
        return "job" if won == 1 else f"trouble: {won} ends of one job"

    async def granted(self) -> str:
        key = self.dice.choice(self.keys)
        await self.store.ledger.grant(key.account_id, self.dice.randint(1, 3000), actor="sweep", reason="top-up")
        return "granted"

    async def adjusted(self) -> str:
        key = self.dice.choice(self.keys)
        await self.store.ledger.adjust(key.account_id, -self.dice.randint(1, 200), actor="sweep", reason="correction")
        return "adjusted"

    async def redeemed(self) -> str:
        """Others try the same codes, too."""
        key = self.dice.choice(self.keys)
        await self.store.ledger.redeem(self.dice.choice(self.codes), key.account_id, key_id=key.id, by=SYSTEM)
        return "redeemed"

    async def rotated(self) -> str:
        await rotate_key(self.store.keys, self.dice.choice(self.keys).id, SystemClock().now())
        return "rotated"

    async def replaced(self) -> str:
        """Revoked, and another one made with the same terms."""
        old = self.dice.choice(self.keys)
        if (await self.store.keys.revoke(old.id)).revoked_at is None:
            return "trouble: a key that cannot be revoked"
        self.number += 1
        name = f"{old.name.partition(' ')[0]} {self.name} {self.number}"
        terms = {"limit_nano": old.limit_nano, "unlimited": old.unlimited, "limits": old.limits}
        made = await issue_key(self.store.keys, name, old.account_id, **terms)  # type: ignore[arg-type]
        self.keys = [made.key if key.id == old.id else key for key in self.keys]
        return "revoked"

    async def rolled_up(self) -> str:
        await self.store.usage_rollups.roll_up()
        return "rolled up"


CHANCES: dict[Callable[[Caller], Awaitable[str]], float] = {
    Caller.settled: 70,
    Caller.released: 8,
    Caller.ended_by_many: 5,
    Caller.left: 5,
    Caller.job: 4,
    Caller.granted: 5,
    Caller.adjusted: 1,
    Caller.redeemed: 1.5,
    Caller.rotated: 0.2,
    Caller.replaced: 0.02,
    Caller.rolled_up: 0.28,
}
ACTIONS, WEIGHTS = tuple(CHANCES), tuple(CHANCES.values())


async def main(path: Path, calls: int, seed: str, codes: Path) -> None:
    store = await Store.open(path, durability="process", clock=SystemClock())
    caller = Caller(store, random.Random(seed), json.loads(codes.read_text()), seed)
    try:
        await caller.run(calls)
    except Exception as error:  # whatever it is: a client would have met it
        caller.counts[f"trouble: {type(error).__name__}: {error}"] += 1
        caller._report()
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], Path(sys.argv[4])))

"""What the books should be, in plain Python: who may hold what, and what an end charges. Amounts are nano-USD."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class AccountModel:
    unlimited: bool
    total: int = 0
    used: int = 0


@dataclass
class KeyModel:
    """``limit``: of its own; ``calls``, ``jobs``: at a time."""

    account: str
    limit: int | None = None
    calls: int | None = None
    jobs: int | None = None
    used: int = 0
    revoked: bool = False
    disabled: bool = False


@dataclass(frozen=True)
class HoldModel:
    key: str
    amount: int
    job: bool


@dataclass
class CodeModel:
    value: int
    uses_left: int
    redeemed_by: set[str] = field(default_factory=set)
    void: bool = False


@dataclass
class BooksModel:
    accounts: dict[str, AccountModel] = field(default_factory=dict)
    keys: dict[str, KeyModel] = field(default_factory=dict)
    holds: dict[int, HoldModel] = field(default_factory=dict)
    codes: dict[str, CodeModel] = field(default_factory=dict)
    orphaned: int = 0

    def held_by(self, account: str) -> int:
        return sum(hold.amount for hold in self.holds.values() if self.keys[hold.key].account == account)

    def held_on(self, key: str) -> int:
        return sum(hold.amount for hold in self.holds.values() if hold.key == key)

    def remaining(self, account: str) -> int:
        mine = self.accounts[account]
        return mine.total - mine.used - self.held_by(account)

    def _left_on(self, key: str) -> int | None:
        mine = self.keys[key]
        return None if mine.limit is None else mine.limit - mine.used - self.held_on(key)

    # --- admission ----------------------------------------------------------------------------------------------------

    def blocked(self, key: str) -> str | None:
        mine = self.keys[key]
        return "key_revoked" if mine.revoked else "key_disabled" if mine.disabled else None

    def refusal(self, key: str, amount: int, *, job: bool) -> str | None:
        """The code that a hold is refused with; ``None`` if it is granted."""
        return self.blocked(key) or self._no_slot(key, job=job) or self._too_dear(key, amount)

    def _no_slot(self, key: str, *, job: bool) -> str | None:
        mine = self.keys[key]
        most = mine.jobs if job else mine.calls
        taken = sum(hold.key == key and hold.job is job for hold in self.holds.values())
        if most is None or taken < most:
            return None
        return "jobs_in_flight_exceeded" if job else "concurrent_calls_exceeded"

    def _too_dear(self, key: str, amount: int) -> str | None:
        left = self._left_on(key)
        account = self.keys[key].account
        short = amount > self.remaining(account) and not self.accounts[account].unlimited
        return "insufficient_quota" if short or (left is not None and amount > left) else None

    def hold(self, hold_id: int, key: str, amount: int, *, job: bool) -> None:
        self._give_what_is_lacking(self.keys[key].account, amount)
        self.holds[hold_id] = HoldModel(key, amount, job)

    def _give_what_is_lacking(self, account: str, amount: int) -> None:
        lacking = amount - self.remaining(account)
        if lacking > 0 and self.accounts[account].unlimited:
            self.accounts[account].total += lacking

    # --- ends ---------------------------------------------------------------------------------------------------------

    def charge(self, hold_id: int, cost: int) -> int:
        """How much of a cost can be charged: the hold, and what else its key and account have left."""
        hold = self.holds[hold_id]
        account, left = self.keys[hold.key].account, self._left_on(hold.key)
        most = cost if left is None else min(cost, hold.amount + left)
        return most if self.accounts[account].unlimited else min(most, hold.amount + self.remaining(account))

    def settle(self, hold_id: int, cost: int) -> None:
        charged = self.charge(hold_id, cost)
        key = self.keys[self.holds[hold_id].key]
        self._give_what_is_lacking(key.account, charged - self.holds[hold_id].amount)
        key.used += charged
        self.accounts[key.account].used += charged
        del self.holds[hold_id]

    def release(self, hold_id: int) -> None:
        del self.holds[hold_id]

    def die(self) -> None:
        """The process is gone, and the next one cleans up: calls that were under way are lost, jobs are not."""
        orphans = [hold_id for hold_id, hold in self.holds.items() if not hold.job]
        self.orphaned += len(orphans)
        for hold_id in orphans:
            del self.holds[hold_id]

    # --- money that comes in ------------------------------------------------------------------------------------------

    def change_refusal(self, account: str, amount: int) -> str | None:
        return "adjustment_below_zero" if self.remaining(account) + amount < 0 else None

    def change(self, account: str, amount: int) -> None:
        self.accounts[account].total += amount

    def redeem_refusal(self, text: str, key: str) -> str | None:
        code = self.codes[text]
        worthless = code.void or not code.uses_left or self.keys[key].account in code.redeemed_by
        return self.blocked(key) or ("invalid_code" if worthless else None)

    def redeem(self, text: str, key: str) -> None:
        code, account = self.codes[text], self.keys[key].account
        code.uses_left -= 1
        code.redeemed_by.add(account)
        self.accounts[account].total += code.value

    def pick(self, which: int, suits: Callable[[HoldModel], bool]) -> int | None:
        """One of the open holds that suit; ``None`` if there is none."""
        suitable = sorted(hold_id for hold_id, hold in self.holds.items() if suits(hold))
        return suitable[which % len(suitable)] if suitable else None

"""The equations of the books, asked again and again while others write: each look is one read transaction on a connection of
its own, and costs as much as has happened since the last one. It adds up for itself every ledger row that it sees, so that
nothing which is stored has to be believed."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from relayhub.store.connection import connect
from relayhub.store.windows import MINUTE_S

EVERY_S = 0.01

_NEW = (
    "SELECT ledger.id, ledger.at, kind, ledger.account_id, ledger.key_id, ledger.hold_id, amount_nano, usage.cost_nano, "
    "usage.account_id, usage.key_id FROM ledger LEFT JOIN usage ON usage.id = ledger.id "
    "WHERE ledger.id > ? ORDER BY ledger.id"
)
_ACCOUNTS = "SELECT id, total_nano, used_nano, held_nano FROM accounts"
_KEYS = (
    "SELECT id, used_nano, held_nano, limit_nano, json_extract(limits, '$.concurrent_calls'), "
    "json_extract(limits, '$.requests_per_minute') FROM keys"
)
_HOLDS = "SELECT hold_id, account_id, key_id, amount_nano, epoch_id = 'jobs' FROM holds"


@dataclass
class Watch:
    """``wrong``: everything that was ever not as it should be. ``looks``: how often it looked; ``ends``: holds that were
    seen to end. ``gaps_s``: from the beginning of each look to the beginning of the next."""

    connection: sqlite3.Connection
    wrong: list[str] = field(default_factory=list)
    looks: int = 0
    ends: int = 0
    gaps_s: list[float] = field(default_factory=list)
    _last: int = 0
    _total: Counter[str] = field(default_factory=Counter)
    _used: Counter[str] = field(default_factory=Counter)
    _recorded: Counter[str] = field(default_factory=Counter)
    _open: dict[int, tuple[str, str, int]] = field(default_factory=dict)
    _begun: Counter[tuple[str, float]] = field(default_factory=Counter)
    """Calls and jobs by key and minute."""

    @classmethod
    def of(cls, path: Path) -> Watch:
        return cls(connect(path))

    def until(self, over: Callable[[], bool]) -> None:
        """Look every :data:`EVERY_S` until ``over``, and once after that."""
        before = time.monotonic()
        while not over():
            self.look()
            now = time.monotonic()
            time.sleep(max(0.0, EVERY_S - (now - before)))
            self.gaps_s.append(time.monotonic() - before)
            before = time.monotonic()
        self.look()

    def look(self) -> None:
        execute = self.connection.execute
        execute("BEGIN")
        try:
            new, accounts, keys, holds = (
                execute(_NEW, (self._last,)).fetchall(),
                execute(_ACCOUNTS).fetchall(),
                execute(_KEYS).fetchall(),
                execute(_HOLDS).fetchall(),
            )
        finally:
            execute("COMMIT")
        self.looks += 1
        for row in new:
            self._book(row)
        self._compare(accounts, keys, holds)

    def _expect(self, what: str, stored: object, computed: object) -> None:
        if stored != computed:
            self.wrong.append(f"look {self.looks}: {what}: stored {stored}, computed {computed}")

    def _book(self, row: tuple[Any, ...]) -> None:
        number, at, kind, account, key, hold, amount, cost, *owners = row
        self._expect("ledger ids have no gap", number, self._last + 1)
        self._last = number
        match kind:
            case "hold":
                self._expect(f"{hold} begins once", (hold, hold in self._open), (number, False))
                self._open[hold] = account, key, amount
                self._begun[key, at // MINUTE_S] += 1
            case "settlement" | "release":
                self._end(kind, (account, key, amount), hold, cost, owners)
            case _:
                self._total[account] += amount

    def _end(self, kind: str, end: tuple[str, str, int], hold: int, cost: int | None, owners: list[str]) -> None:
        self.ends += 1
        account, key, amount = end
        begun = self._open.pop(hold, None)
        self._expect(f"{hold} was open, for whom it ends", begun and begun[:2], (account, key))
        if kind == "release":
            self._expect(f"{hold} gives back what was held", begun and begun[2], amount)
            self._expect(f"{hold} costs nothing", cost or 0, 0)
            return
        self._expect(f"{hold} has its usage row", (cost, *owners), (amount, account, key))
        for owner in (account, key):
            self._used[owner] += amount
            self._recorded[owner] += cost or 0

    def _compare(self, accounts: list[Any], keys: list[Any], holds: list[Any]) -> None:
        self._expect("open holds", {row[0]: row[1:4] for row in holds}, self._open)
        held: Counter[str] = Counter()
        slots: Counter[str] = Counter()
        for _, account, key, amount, job in holds:
            held[account] += amount
            held[key] += amount
            slots[key] += not job
        for name, total, used, in_holds in accounts:
            self._expect(f"{name}: total", total, self._total[name])
            self._expect(f"{name}: used", (used, used), (self._used[name], self._recorded[name]))
            self._expect(f"{name}: held", in_holds, held[name])
            self._expect(f"{name}: overdrawn", total - used - in_holds < 0, False)
        per_minute = {row[0]: row[5] for row in keys if row[5] is not None}
        for (name, minute), begun in self._begun.items():
            self._expect(f"{name}: beyond its minute {minute}", begun > per_minute.get(name, begun), False)
        self._begun = self._last_minutes()
        for name, used, in_holds, limit, concurrent, _ in keys:
            self._expect(f"{name}: used", (used, used), (self._used[name], self._recorded[name]))
            self._expect(f"{name}: held", in_holds, held[name])
            self._expect(f"{name}: beyond its limit", limit is not None and limit < used + in_holds, False)
            self._expect(f"{name}: beyond its slots", concurrent is not None and concurrent < slots[name], False)

    def _last_minutes(self) -> Counter[tuple[str, float]]:
        newest = max((minute for _, minute in self._begun), default=0.0)
        return Counter({place: begun for place, begun in self._begun.items() if place[1] >= newest - 1})

    def close(self) -> None:
        self.connection.close()

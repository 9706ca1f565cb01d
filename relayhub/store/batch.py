"""One transaction of the writer: read what the items touch and is not known, decide each in order, write it all with few
statements.

An item that is refused leaves no trace and does not disturb the others. Runs in the writer's thread, inside a transaction
that the caller began and will commit. What is kept from one transaction to the next is in
:class:`relayhub.store.known.Known`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import orjson
from msgspec import structs

from relayhub.store import refusals
from relayhub.store.balances import AccountMoney, Balances, KeyMoney
from relayhub.store.epoch import Epoch
from relayhub.store.intents import (
    Balance,
    Barrier,
    ChangeTotal,
    EndEpoch,
    EndHold,
    HoldAbout,
    Intent,
    LedgerKind,
    OpenHold,
    Probe,
    ReleaseOrphans,
    RenewLease,
    Settled,
)
from relayhub.store.job_batch import JobBatch
from relayhub.store.job_intents import FinishJob, MoveJob, Opened, OpenJob, TouchJob
from relayhub.store.known import JOBS_EPOCH, HoldRow, Known
from relayhub.store.limit_batch import LimitBatch
from relayhub.store.many import insert_many, load_many, one_row
from relayhub.store.people_batch import PeopleBatch
from relayhub.store.people_intents import Fund, Redeem, Redeemed
from relayhub.store.rows import Row, insert_into, nano, usage_row
from relayhub.store.touched import Touched
from relayhub.store.windows import Calendar
from relayhub.types.call import Outcome, UsageRecord
from relayhub.types.errors import RelayhubError
from relayhub.types.money import MAX_NANO

Answer: TypeAlias = "str | int | bool | Settled | Balance | Opened | Redeemed | RelayhubError | None"
"""What an item's caller gets: its value, or the error to raise there."""

SYSTEM_ACTOR = "system"

_HOLD, _SETTLEMENT, _RELEASE = LedgerKind.HOLD.value, LedgerKind.SETTLEMENT.value, LedgerKind.RELEASE.value

_HOLD_COLUMNS = (
    *("hold_id", "call_id", "account_id", "key_id", "amount_nano", "epoch_id", "created_at", "about"),
    *("tokens", "video_ms", "windows"),
)
_LOAD_EPOCH_HOLDS = f"SELECT {', '.join(_HOLD_COLUMNS)} FROM holds WHERE epoch_id = ?"  # noqa: S608  # constants
_BRIEFLY = {"created_at": "CAST(created_at * 1000000 AS INTEGER)", "about": "''"}
_LOAD_HOLDS = one_row(
    "holds",
    [_BRIEFLY.get(column, column) for column in _HOLD_COLUMNS],
    "hold_id IN (SELECT value FROM json_each(?))",
)
"""Without what a hold says of its call: whoever ends it knows better. Of the time, whole microseconds."""
_CREATED_AT = _HOLD_COLUMNS.index("created_at")
_LOAD_EPOCHS = "SELECT id, host, boot_id, pid, started, lease_until FROM epochs"
_KNOWN_EPOCH = "SELECT 1 FROM epochs WHERE id = ?"
_RENEW_EPOCH = f"{insert_into('epochs')} ON CONFLICT (id) DO UPDATE SET lease_until = excluded.lease_until"
_DELETE_EPOCH = "DELETE FROM epochs WHERE id = ? AND id NOT IN (SELECT epoch_id FROM holds)"
_INSERT_HOLD = insert_into("holds")
_DELETE_HOLD = "DELETE FROM holds WHERE hold_id = ?"
_DELETE_HOLDS = "DELETE FROM holds WHERE hold_id IN (SELECT value FROM json_each(?))"
_INSERT_LEDGER = insert_into("ledger", without=("id",))
_INSERT_USAGE = insert_into("usage")
_PROBE = "INSERT INTO meta VALUES ('probe', 1) ON CONFLICT (name) DO UPDATE SET value = value + 1"


class Batch:
    """Use once: ``decide`` for every item in order, then ``write``; the caller commits. ``records``: the usage rows
    that came of it, as they were charged."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        known: Known,
        intents: Sequence[Intent[object]],
        epoch: Epoch,
        now: float,
        on_step: Callable[[str], None],
        calendar: Calendar,
    ) -> None:
        known.look(connection)
        self.records: list[UsageRecord] = []
        self._connection = connection
        self._known = known
        self._epoch = epoch
        self._now = now
        self._step = on_step
        self._dead_epochs: list[str] = []
        self._orphans: list[str] = []
        self._holds = known.holds
        touched = Touched(intents, known.holds)
        self._load_holds(touched)
        self._money = Balances(connection, known, touched.keys, touched.accounts)
        self._limits = LimitBatch(connection, known, self._money.limited(), touched.counted, calendar, now)
        self._others = bool(touched.others)
        self._jobs = JobBatch(connection, touched.others, now)
        self._people = PeopleBatch(connection, touched.others, now)
        self._ledger: list[Row] = []
        self._opened: list[HoldRow] = []
        self._ended: list[str] = []
        self._usage: list[Row] = []
        self._renew = False
        self._leave = False
        self._probe = False

    def _load_holds(self, touched: Touched) -> None:
        if touched.unknown:
            for row in load_many(self._connection, _LOAD_HOLDS, touched.unknown):
                row[_CREATED_AT] /= 1e6
                self._holds[row[0]] = HoldRow._make(row)
        if any(isinstance(intent, ReleaseOrphans) for intent in touched.others):
            self._orphans = self._load_orphans()
        for hold_id in (*touched.unknown, *self._orphans):
            if (hold := self._holds.get(hold_id)) is not None:
                touched.ending(hold)

    def _load_orphans(self) -> list[str]:
        """Which epochs are dead, and what they left open. In one transaction, so that nobody can open more."""
        rows = self._connection.execute(_LOAD_EPOCHS).fetchall()
        self._dead_epochs = [row[0] for row in rows if self._epoch.finds_dead(row, self._now)]
        found: list[str] = []
        for epoch_id in self._dead_epochs:
            for row in self._connection.execute(_LOAD_EPOCH_HOLDS, (epoch_id,)):
                self._holds[row[0]] = HoldRow(*row)
                found.append(row[0])
        return found

    def decide(self, intent: Intent[Any]) -> Answer:
        """Never raises for a refusal: the error is the answer."""
        match intent:
            case OpenHold():
                return None if intent.abandoned else self._open(intent)
            case EndHold():
                return self._end(intent)
            case ChangeTotal():
                return self._change_total(intent)
            case Fund():
                return self._fund(intent)
            case Redeem():
                return self._redeem(intent)
            case OpenJob():
                return self._open_job(intent)
            case MoveJob():
                return self._jobs.move(intent)
            case TouchJob():
                self._jobs.touch(intent)
            case FinishJob():
                return self._finish_job(intent)
            case ReleaseOrphans():
                return self._release_orphans()
            case RenewLease():
                self._renew = True
            case EndEpoch():
                self._leave = True
            case Probe(write):
                self._probe |= write
            case Barrier():
                pass
            case _:
                raise TypeError(f"the writer does not know {type(intent).__name__}")
        return None

    def _open_job(self, intent: OpenJob) -> Answer:
        if (before := self._jobs.replayed(intent)) is not None:
            return before
        held = self._open(intent.hold, JOBS_EPOCH)
        return self._jobs.open(intent) if isinstance(held, str) else held

    def _finish_job(self, intent: FinishJob) -> bool:
        won = self._jobs.finish(intent)
        if won:
            self._end(EndHold(intent.hold_id, intent.record, intent.charge))
        return won

    def _open(self, intent: OpenHold, epoch_id: str | None = None) -> Answer:
        """``epoch_id``: whose hold it is, if not this process's."""
        new = intent.new
        key = self._money.keys.get(new.key_id)
        if key is None or key.account_id != new.account_id:
            return refusals.unknown_key()
        account, amount, limits = self._money.accounts[key.account_id], new.amount_nano, key.limits
        refusal = self._blocked(key) if key.bounded else None
        if refusal is None and limits is not None:
            refusal = self._limits.refusal(limits, new, job=epoch_id == JOBS_EPOCH)
        refusal = refusal or self._short(key, account, amount)
        if refusal is not None:
            return refusal
        windows = 0 if limits is None else self._limits.opened(limits, new, job=epoch_id == JOBS_EPOCH)
        hold_id, call_id, by = intent.hold_id, new.call_id, epoch_id or self._epoch.id
        values = (hold_id, call_id, account.id, key.id, amount, by, self._now, intent.about_json)
        hold = HoldRow._make((*values, new.tokens, new.video_ms, windows))
        self._money.move(key, account, amount)
        self._opened.append(hold)
        self._holds[hold_id] = hold
        self._ledger.append((self._now, _HOLD, account.id, key.id, hold_id, call_id, amount, None, None))
        return hold_id

    def _blocked(self, key: KeyMoney) -> RelayhubError | None:
        if key.revoked_at is not None:
            return refusals.revoked_key()
        if key.disabled_at is not None:
            return refusals.disabled_key()
        if key.expires_at is not None and key.expires_at <= self._now:
            return refusals.expired_key()
        return None

    def _short(self, key: KeyMoney, account: AccountMoney, amount: int) -> RelayhubError | None:
        """The last of the questions: an unlimited account has been given what it lacked."""
        if amount > key.remaining:
            return refusals.key_limit_reached()
        return None if account.cover(amount, unlimited=key.unlimited) else refusals.account_exhausted()

    def _end(self, intent: EndHold) -> Settled:
        hold, record = self._holds.pop(intent.hold_id, None), intent.record
        if hold is None:
            return Settled(0, 0, ended_before=True)
        cost = nano(record.cost_nano) if intent.charge and record is not None else 0
        charged = self._close(hold, cost, _SETTLEMENT if intent.charge else _RELEASE)
        if hold.windows or self._limits.any:
            self._limits.ended(hold, record, charged)
        if record is not None:
            self._record(hold, record, charged, cost - charged)
        return Settled(charged, cost - charged)

    def _close(self, hold: HoldRow, cost: int, kind: str) -> int:
        """End an open hold; returns what could be charged: the hold, and whatever else key and account have left."""
        key, account, held = self._money.keys[hold.key_id], self._money.accounts[hold.account_id], hold.amount
        charged = cost
        if cost > held:
            charged = min(cost, held + key.remaining)
            if not account.cover(charged - held, unlimited=key.unlimited):
                charged = held + account.remaining
        self._money.move(key, account, -held, charged)
        self._ended.append(hold.hold_id)
        amount = charged if kind == _SETTLEMENT else held
        self._ledger.append((self._now, kind, account.id, key.id, hold.hold_id, hold.call_id, amount, None, None))
        return charged

    def _record(self, hold: HoldRow, record: UsageRecord, charged: int, shortfall: int) -> None:
        """The hold says whose call it was, whatever the record says."""
        if (
            record.cost_nano != charged
            or record.shortfall_nano != shortfall
            or record.call_id != hold.call_id
            or record.account_id != hold.account_id
            or record.key_id != hold.key_id
        ):
            record = structs.replace(
                record,
                call_id=hold.call_id,
                account_id=hold.account_id,
                key_id=hold.key_id,
                cost_nano=charged,
                shortfall_nano=shortfall,
            )
        self._usage.append(usage_row(hold.hold_id, record))
        self.records.append(record)

    def _release_orphans(self) -> int:
        released = [self._holds.pop(hold_id) for hold_id in self._orphans if hold_id in self._holds]
        for hold in released:
            self._close(hold, 0, _RELEASE)
            self._limits.ended(hold, None, 0)
            self._record(hold, self._lost(hold), 0, 0)
        return len(released)

    def _lost(self, hold: HoldRow) -> UsageRecord:
        about = HoldAbout(**orjson.loads(hold.about))
        return about.uncharged(
            Outcome.LOST, call_id=hold.call_id, account_id=hold.account_id, key_id=hold.key_id, at=self._now
        )

    def _change_total(self, intent: ChangeTotal) -> Answer:
        account = self._money.accounts.get(intent.account_id)
        if account is None:
            return refusals.unknown_account(intent.account_id)
        if account.remaining + intent.amount_nano < 0:
            return refusals.below_zero(account.remaining)
        if account.total + intent.amount_nano > MAX_NANO:
            return refusals.above_maximum()
        account.total += intent.amount_nano
        account.changed = True
        self._note(intent.kind, account.id, intent.amount_nano, intent.actor, intent.reason)
        return account.balance()

    def _fund(self, intent: Fund) -> Answer:
        answer = self._change_total(intent.change)
        if isinstance(answer, Balance):
            self._people.funded(intent, answer)
        return answer

    def _redeem(self, intent: Redeem) -> Answer:
        key = None if intent.key_id is None else self._money.keys.get(intent.key_id)
        if intent.key_id is not None and (key is None or key.account_id != intent.account_id):
            return refusals.unknown_key()
        if key is not None and (refusal := self._blocked(key)) is not None:
            return refusal
        worth = self._people.worth(intent)
        if worth is None:
            return refusals.worthless_code()
        answer = self._change_total(worth)
        if not isinstance(answer, Balance):
            return answer
        self._people.redeemed(intent)
        return Redeemed(worth.amount_nano, answer)

    def _note(self, kind: LedgerKind, account_id: str, amount: int, actor: str, reason: str) -> None:
        """What is not about a call."""
        self._ledger.append((self._now, kind.value, account_id, None, None, None, amount, actor, reason))

    def write(self) -> None:
        """Everything that was decided. Balances come last: their CHECK is the last word on an overdraft."""
        for account_id, amount in self._money.automatic_grants():
            self._note(LedgerKind.GRANT, account_id, amount, SYSTEM_ACTOR, "unlimited account")
        self._write_epoch()
        insert_many(self._connection, _INSERT_HOLD, self._opened)
        if len(self._ended) == 1:
            self._connection.execute(_DELETE_HOLD, self._ended)
        elif self._ended:
            self._connection.execute(_DELETE_HOLDS, (orjson.dumps(self._ended).decode(),))
        self._step("after_holds")
        if self._others:
            self._jobs.write()
        self._step("after_jobs")
        insert_many(self._connection, _INSERT_LEDGER, self._ledger)
        self._step("after_ledger")
        insert_many(self._connection, _INSERT_USAGE, self._usage)
        self._step("after_usage")
        if self._others:
            self._people.write()
        self._limits.write()
        self._money.write()
        self._forget_epochs()
        self._step("after_balances")

    def _write_epoch(self) -> None:
        """A hold needs its epoch's row: with the first one, and again if others thought this process dead."""
        if self._probe:
            self._connection.execute(_PROBE)
        if self._renew or (self._opened and not self._epoch_stands()):
            self._connection.execute(_RENEW_EPOCH, self._epoch.row(self._now))
            self._known.epoch_stands = True

    def _epoch_stands(self) -> bool:
        known = self._known
        if not known.epoch_stands:
            known.epoch_stands = self._connection.execute(_KNOWN_EPOCH, (self._epoch.id,)).fetchone() is not None
        return known.epoch_stands

    def _forget_epochs(self) -> None:
        gone = [*self._dead_epochs, *([self._epoch.id] if self._leave else ())]
        if gone:
            self._known.epoch_stands = False
            self._connection.executemany(_DELETE_EPOCH, [(epoch_id,) for epoch_id in gone])

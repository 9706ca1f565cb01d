"""One transaction of the writer: read what the items touch, decide each in order, write it all with few statements.

An item that is refused leaves no trace and does not disturb the others. Runs in the writer's thread, inside a
transaction that the caller began and will commit. Nothing here is kept from one transaction to the next.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import orjson

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
    NewHold,
    OpenHold,
    Probe,
    ReleaseOrphans,
    RenewLease,
    Settled,
)
from relayhub.store.job_batch import JobBatch
from relayhub.store.job_intents import FinishJob, MoveJob, Opened, OpenJob, TouchJob
from relayhub.store.limit_batch import JOBS_EPOCH, HoldRow, LimitBatch, Used
from relayhub.store.many import insert_many, load_many, one_row
from relayhub.store.people_batch import PeopleBatch
from relayhub.store.people_intents import Fund, Redeem, Redeemed
from relayhub.store.rows import Row, count, insert_into, nano, usage_row
from relayhub.store.windows import Calendar
from relayhub.types.call import Outcome, UsageRecord
from relayhub.types.errors import RelayhubError
from relayhub.types.money import MAX_NANO

Answer: TypeAlias = "str | int | bool | Settled | Balance | Opened | Redeemed | RelayhubError | None"
"""What an item's caller gets: its value, or the error to raise there."""

SYSTEM_ACTOR = "system"

_HOLDS = (
    "SELECT hold_id, call_id, account_id, key_id, amount_nano, about, epoch_id, created_at, tokens, video_ms, windows "
    "FROM holds"
)
_LOAD_HOLDS = one_row(
    "holds",
    (
        *("hold_id", "call_id", "account_id", "key_id", "amount_nano", "''", "epoch_id"),
        *("CAST(created_at * 1000000 AS INTEGER)", "tokens", "video_ms", "windows"),
    ),
    "hold_id IN (SELECT value FROM json_each(?))",
)
"""Without what a hold says of its call: whoever ends it knows better. Of the time, whole microseconds."""
_LOAD_EPOCH_HOLDS = f"{_HOLDS} WHERE epoch_id = ?"
_LOAD_EPOCHS = "SELECT id, host, boot_id, pid, started, lease_until FROM epochs"
_KNOWN_EPOCH = "SELECT 1 FROM epochs WHERE id = ?"
_RENEW_EPOCH = f"{insert_into('epochs')} ON CONFLICT (id) DO UPDATE SET lease_until = excluded.lease_until"
_DELETE_EPOCH = "DELETE FROM epochs WHERE id = ? AND id NOT IN (SELECT epoch_id FROM holds)"
_INSERT_HOLD = insert_into("holds")
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
        intents: Sequence[Intent[object]],
        epoch: Epoch,
        now: float,
        on_step: Callable[[str], None],
        calendar: Calendar,
    ) -> None:
        self.records: list[UsageRecord] = []
        self._connection = connection
        self._epoch = epoch
        self._now = now
        self._step = on_step
        self._dead_epochs: list[str] = []
        self._holds = self._load_holds(intents)
        self._orphans: list[str] = self._load_orphans() if any(isinstance(i, ReleaseOrphans) for i in intents) else []
        self._money = self._load_money(intents)
        limited = {key.id: key.limits for key in self._money.keys.values() if key.limits is not None}
        self._limits = LimitBatch(connection, limited, self._holds.values(), calendar, now)
        self._ledger: list[Row] = []
        self._jobs = JobBatch(connection, intents, now)
        self._people = PeopleBatch(connection, intents, now)
        self._opened: list[Row] = []
        self._ended: list[str] = []
        self._usage: list[Row] = []
        self._renew = False
        self._leave = False
        self._probe = False

    def _load_holds(self, intents: Sequence[Intent[object]]) -> dict[str, HoldRow]:
        wanted = [intent.hold_id for intent in intents if isinstance(intent, EndHold | FinishJob)]
        return {
            row[0]: HoldRow._make((*row[:7], row[7] / 1e6, *row[8:]))
            for row in load_many(self._connection, _LOAD_HOLDS, wanted)
        }

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

    def _load_money(self, intents: Sequence[Intent[object]]) -> Balances:
        keys = {hold.key_id for hold in self._holds.values()}
        accounts = {hold.account_id for hold in self._holds.values()}
        for intent in intents:
            if isinstance(intent, OpenHold):
                keys.add(intent.new.key_id)
            elif isinstance(intent, OpenJob):
                keys.add(intent.hold.new.key_id)
            elif isinstance(intent, ChangeTotal):
                accounts.add(intent.account_id)
            elif isinstance(intent, Redeem):
                accounts.add(intent.account_id)
                keys.update(() if intent.key_id is None else (intent.key_id,))
            elif isinstance(intent, Fund):
                accounts.add(intent.change.account_id)
        return Balances(self._connection, keys, accounts)

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
        account, job = self._money.accounts[key.account_id], epoch_id == JOBS_EPOCH
        refusal = self._blocked(key) or self._limited(key, new, job=job) or self._short(key, account, new.amount_nano)
        if refusal is not None:
            return refusal
        windows = 0 if key.limits is None else self._limits.opened(key.limits, new, job=job)
        self._money.move(key, account, held=new.amount_nano)
        self._opened.append(
            (
                intent.hold_id,
                new.call_id,
                account.id,
                key.id,
                new.amount_nano,
                epoch_id or self._epoch.id,
                self._now,
                intent.about_json,
                new.tokens,
                new.video_ms,
                windows,
            )
        )
        self._note(LedgerKind.HOLD, account.id, new.amount_nano, key.id, intent.hold_id, new.call_id)
        return intent.hold_id

    def _blocked(self, key: KeyMoney) -> RelayhubError | None:
        if key.revoked_at is not None:
            return refusals.revoked_key()
        if key.disabled_at is not None:
            return refusals.disabled_key()
        if key.expires_at is not None and key.expires_at <= self._now:
            return refusals.expired_key()
        return None

    def _limited(self, key: KeyMoney, new: NewHold, *, job: bool) -> RelayhubError | None:
        return None if key.limits is None else self._limits.refusal(key.limits, new, job=job)

    def _short(self, key: KeyMoney, account: AccountMoney, amount: int) -> RelayhubError | None:
        """The last of the questions: an unlimited account has been given what it lacked."""
        if amount > key.remaining:
            return refusals.key_limit_reached()
        return None if account.cover(amount, unlimited=key.unlimited) else refusals.account_exhausted()

    def _end(self, intent: EndHold) -> Settled:
        hold = self._holds.pop(intent.hold_id, None)
        if hold is None:
            return Settled(0, 0, ended_before=True)
        cost = nano(intent.record.cost_nano) if intent.charge and intent.record is not None else 0
        charged = self._close(hold, cost, LedgerKind.SETTLEMENT if intent.charge else LedgerKind.RELEASE)
        self._limits.ended(hold, _used(intent.record, charged))
        if intent.record is not None:
            self._record(hold, intent.record, charged, cost - charged)
        return Settled(charged, cost - charged)

    def _close(self, hold: HoldRow, cost: int, kind: LedgerKind) -> int:
        """End an open hold; returns what could be charged: the hold, and whatever else key and account have left."""
        key, account = self._money.keys[hold.key_id], self._money.accounts[hold.account_id]
        charged = min(cost, hold.amount + key.remaining)
        if charged > hold.amount and not account.cover(charged - hold.amount, unlimited=key.unlimited):
            charged = hold.amount + account.remaining
        self._money.move(key, account, held=-hold.amount, used=charged)
        self._ended.append(hold.hold_id)
        amount = charged if kind is LedgerKind.SETTLEMENT else hold.amount
        self._note(kind, account.id, amount, key.id, hold.hold_id, hold.call_id)
        return charged

    def _record(self, hold: HoldRow, record: UsageRecord, charged: int, shortfall: int) -> None:
        """The hold says whose call it was, whatever the record says."""
        final = record
        if (record.cost_nano, record.shortfall_nano) != (charged, shortfall) or _whose(record) != _whose(hold):
            final = replace(
                record,
                call_id=hold.call_id,
                account_id=hold.account_id,
                key_id=hold.key_id,
                cost_nano=charged,
                shortfall_nano=shortfall,
            )
        self._usage.append(usage_row(hold.hold_id, final))
        self.records.append(final)

    def _release_orphans(self) -> int:
        released = [self._holds.pop(hold_id) for hold_id in self._orphans if hold_id in self._holds]
        for hold in released:
            self._close(hold, 0, LedgerKind.RELEASE)
            self._limits.ended(hold, _used(None, 0))
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
        self._note(intent.kind, account.id, intent.amount_nano, actor=intent.actor, reason=intent.reason)
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

    def _note(
        self,
        kind: LedgerKind,
        account_id: str,
        amount: int,
        key_id: str | None = None,
        hold_id: str | None = None,
        call_id: str | None = None,
        actor: str | None = None,
        reason: str | None = None,
    ) -> None:
        self._ledger.append((self._now, kind.value, account_id, key_id, hold_id, call_id, amount, actor, reason))

    def write(self) -> None:
        """Everything that was decided. Balances come last: their CHECK is the last word on an overdraft."""
        for account_id, amount in self._money.automatic_grants():
            self._note(LedgerKind.GRANT, account_id, amount, actor=SYSTEM_ACTOR, reason="unlimited account")
        self._write_epoch()
        insert_many(self._connection, _INSERT_HOLD, self._opened)
        if self._ended:
            self._connection.execute(_DELETE_HOLDS, (orjson.dumps(self._ended).decode(),))
        self._step("after_holds")
        self._jobs.write()
        self._step("after_jobs")
        insert_many(self._connection, _INSERT_LEDGER, self._ledger)
        self._step("after_ledger")
        insert_many(self._connection, _INSERT_USAGE, self._usage)
        self._step("after_usage")
        self._people.write()
        self._limits.write()
        self._money.write()
        self._forget_epochs()
        self._step("after_balances")

    def _write_epoch(self) -> None:
        """A hold needs its epoch's row: with the first one, and again if others thought this process dead."""
        if self._probe:
            self._connection.execute(_PROBE)
        if self._renew or (self._opened and not self._connection.execute(_KNOWN_EPOCH, (self._epoch.id,)).fetchone()):
            self._connection.execute(_RENEW_EPOCH, self._epoch.row(self._now))

    def _forget_epochs(self) -> None:
        gone = [*self._dead_epochs, *([self._epoch.id] if self._leave else ())]
        if gone:
            self._connection.executemany(_DELETE_EPOCH, [(epoch_id,) for epoch_id in gone])


def _whose(row: UsageRecord | HoldRow) -> tuple[str, str, str]:
    return row.call_id, row.account_id, row.key_id


def _used(record: UsageRecord | None, charged: int) -> Used:
    """A call without an account of itself has used nothing."""
    if record is None:
        return Used(0, 0, charged)
    usage, media = record.usage, record.media
    video_ms = 0 if media is None else count(media.video_ms)
    return Used(count(usage.input_tokens) + count(usage.output_tokens), video_ms, charged)

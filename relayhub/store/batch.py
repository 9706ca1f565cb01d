"""One transaction of the writer: read what the items touch and is not known, decide each in order, write it all with few
statements.

An item that is refused leaves no trace and does not disturb the others. Runs in the writer's thread, inside a transaction
that the caller began and will commit. What is kept from one transaction to the next is in
:class:`relayhub.store.known.Known`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import TypeAlias

import orjson

from relayhub.store import refusals
from relayhub.store.call_batch import CallBatch
from relayhub.store.epoch import Epoch
from relayhub.store.intents import (
    Balance,
    Barrier,
    ChangeTotal,
    EndEpoch,
    EndHold,
    HoldAbout,
    Intent,
    OpenHold,
    Probe,
    ReleaseOrphans,
    RenewLease,
    Settled,
)
from relayhub.store.job_batch import JobBatch
from relayhub.store.job_intents import FinishJob, MoveJob, Opened, OpenJob, TouchJob
from relayhub.store.known import HoldRow, Known
from relayhub.store.many import load_many, one_row
from relayhub.store.people_batch import PeopleBatch
from relayhub.store.people_intents import Fund, Redeem, Redeemed
from relayhub.store.rows import insert_into
from relayhub.store.touched import Touched
from relayhub.types.call import Outcome, UsageRecord
from relayhub.types.errors import RelayhubError
from relayhub.types.limits import MAX_LEDGER_BATCH
from relayhub.types.money import MAX_NANO

Answer: TypeAlias = "str | int | bool | Settled | Balance | Opened | Redeemed | RelayhubError | None"
"""What an item's caller gets: its value, or the error to raise there."""

SOON_S = 0.03
"""A call that has been open for longer ends at some other time."""

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
_PROBE = "INSERT INTO meta VALUES ('probe', 1) ON CONFLICT (name) DO UPDATE SET value = value + 1"


class Batch:
    """Use once: ``decide``, then ``write``; the caller commits."""

    _jobs: JobBatch
    _people: PeopleBatch

    def __init__(
        self,
        cursor: sqlite3.Cursor,
        known: Known,
        calls: CallBatch,
        intents: Sequence[Intent[object]],
        epoch: Epoch,
        now: float,
        on_step: Callable[[str], None],
    ) -> None:
        self._cursor = cursor
        self._known = known
        self._intents = intents
        self._epoch = epoch
        self._now = now
        self._step = on_step
        self._dead_epochs: list[str] = []
        self._orphans: list[int] = []
        touched = Touched(intents, known.holds)
        if touched.unknown or touched.others:
            self._load_holds(touched)
        self._calls = calls
        calls.begin(touched, now)
        self._others = bool(touched.others)
        if self._others:
            self._jobs = JobBatch(cursor.connection, touched.others, now)
            self._people = PeopleBatch(cursor.connection, touched.others, now)
        self._renew = False
        self._leave = False
        self._probe = False

    def to_come(self) -> int:
        """How many items may follow at once: whoever has seen a hold's end may ask again, and a hold that is not old may have
        an upstream that answers at once."""
        coming, now = self._calls.endings, self._now
        for hold in reversed(self._known.holds.values()):
            if not 0 <= now - hold.created_at <= SOON_S or coming >= MAX_LEDGER_BATCH:
                break
            coming += 1
        return coming

    def _load_holds(self, touched: Touched) -> None:
        holds = self._known.holds
        if touched.unknown:
            for row in load_many(self._cursor, _LOAD_HOLDS, touched.unknown):
                row[_CREATED_AT] /= 1e6
                holds[row[0]] = HoldRow(*row)
        if any(isinstance(intent, ReleaseOrphans) for intent in touched.others):
            self._orphans = self._load_orphans()
        for hold_id in (*touched.unknown, *self._orphans):
            if (hold := holds.get(hold_id)) is not None:
                touched.ending(hold)

    def _load_orphans(self) -> list[int]:
        """Which epochs are dead, and what they left open. In one transaction, so that nobody can open more."""
        rows = self._cursor.execute(_LOAD_EPOCHS).fetchall()
        self._dead_epochs = [row[0] for row in rows if self._epoch.finds_dead(row, self._now)]
        found: list[int] = []
        for epoch_id in self._dead_epochs:
            for row in self._cursor.execute(_LOAD_EPOCH_HOLDS, (epoch_id,)):
                self._known.holds[row[0]] = HoldRow(*row)
                found.append(row[0])
        return found

    def decide(self) -> list[Answer]:
        """Never raises for a refusal: the error is the answer."""
        open_, end, other = self._calls.open, self._calls.end, self._decide_other
        return [
            open_(intent)
            if isinstance(intent, OpenHold)
            else end(intent)
            if isinstance(intent, EndHold)
            else other(intent)
            for intent in self._intents
        ]

    def _decide_other(self, intent: Intent[object]) -> Answer:
        match intent:
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
        held = self._calls.open(intent.hold, job=True)
        return self._jobs.open(intent, held) if isinstance(held, int) else held

    def _finish_job(self, intent: FinishJob) -> bool:
        won = self._jobs.finish(intent)
        if won:
            self._calls.end(EndHold(intent.hold_id, intent.record, intent.charge))
        return won

    def _release_orphans(self) -> int:
        holds = self._known.holds
        released = [holds[hold_id] for hold_id in self._orphans if hold_id in holds]
        for hold in released:
            self._calls.give_up(hold, self._lost(hold))
        return len(released)

    def _lost(self, hold: HoldRow) -> UsageRecord:
        about = HoldAbout(**orjson.loads(hold.about))
        return about.uncharged(
            Outcome.LOST, call_id=hold.call_id, account_id=hold.account_id, key_id=hold.key_id, at=self._now
        )

    def _change_total(self, intent: ChangeTotal) -> Answer:
        money = self._calls.money
        account = money.accounts.get(intent.account_id)
        if account is None:
            return refusals.unknown_account(intent.account_id)
        if account.remaining + intent.amount_nano < 0:
            return refusals.below_zero(account.remaining)
        if account.total + intent.amount_nano > MAX_NANO:
            return refusals.above_maximum()
        money.add(account, intent.amount_nano)
        self._calls.note(intent.kind, account.id, intent.amount_nano, intent.actor, intent.reason)
        return account.balance()

    def _fund(self, intent: Fund) -> Answer:
        answer = self._change_total(intent.change)
        if isinstance(answer, Balance):
            self._people.funded(intent, answer)
        return answer

    def _redeem(self, intent: Redeem) -> Answer:
        key = None if intent.key_id is None else self._calls.money.keys.get(intent.key_id)
        if intent.key_id is not None and (key is None or key.account_id != intent.account_id):
            return refusals.unknown_key()
        if key is not None and (refusal := self._calls.blocked(key)) is not None:
            return refusal
        worth = self._people.worth(intent)
        if worth is None:
            return refusals.worthless_code()
        answer = self._change_total(worth)
        if not isinstance(answer, Balance):
            return answer
        self._people.redeemed(intent)
        return Redeemed(worth.amount_nano, answer)

    def write(self) -> None:
        """Everything that was decided. Balances come last: their CHECK is the last word on an overdraft."""
        calls, step = self._calls, self._step
        calls.note_grants()
        self._write_epoch()
        calls.write_holds()
        step("after_holds")
        if self._others:
            self._jobs.write()
        step("after_jobs")
        calls.write_ledger()
        step("after_ledger")
        calls.write_usage()
        step("after_usage")
        if self._others:
            self._people.write()
        calls.write_balances()
        self._forget_epochs()
        step("after_balances")

    def _write_epoch(self) -> None:
        """A hold needs its epoch's row: with the first one, and again if others thought this process dead."""
        if self._probe:
            self._cursor.execute(_PROBE)
        if self._renew or (self._calls.opened and not self._epoch_stands()):
            self._cursor.execute(_RENEW_EPOCH, self._epoch.row(self._now))
            self._known.epoch_stands = True

    def _epoch_stands(self) -> bool:
        known = self._known
        if not known.epoch_stands:
            known.epoch_stands = self._cursor.execute(_KNOWN_EPOCH, (self._epoch.id,)).fetchone() is not None
        return known.epoch_stands

    def _forget_epochs(self) -> None:
        if self._dead_epochs or self._leave:
            gone = [*self._dead_epochs, *([self._epoch.id] if self._leave else ())]
            self._known.epoch_stands = False
            self._cursor.executemany(_DELETE_EPOCH, [(epoch_id,) for epoch_id in gone])

"""The calls' part of one transaction of the writer: holds are opened and ended in order, and written together.

This is what nearly every item is about, so a step less for each counts here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from itertools import groupby

from msgspec import structs

from relayhub.store import refusals
from relayhub.store.balances import AccountMoney, Balances, KeyMoney
from relayhub.store.intents import EndHold, Intent, LedgerKind, NewHold, OpenHold, Settled
from relayhub.store.known import JOBS_EPOCH, HoldRow, Known
from relayhub.store.limit_batch import LimitBatch
from relayhub.store.many import delete_many, insert_many
from relayhub.store.rows import Row, insert_or_fail, nano
from relayhub.store.touched import Touched
from relayhub.store.usage_rows import Ended, insert_usage
from relayhub.store.windows import Calendar
from relayhub.types.call import UsageRecord
from relayhub.types.errors import RelayhubError

_HOLD, _SETTLEMENT, _RELEASE = LedgerKind.HOLD.value, LedgerKind.SETTLEMENT.value, LedgerKind.RELEASE.value

_INSERT_HOLD = insert_or_fail("holds")
_DELETE_HOLD = "DELETE FROM holds WHERE hold_id IN (?)"
_NEWEST_ENTRY = "SELECT coalesce(max(id), 0) FROM ledger"
_OF_A_CALL = ("id", "at", "kind", "account_id", "key_id", "hold_id", "call_id", "amount_nano")
_OF_AN_ACCOUNT = ("id", "at", "kind", "account_id", "amount_nano", "actor", "reason")
_INSERT_LEDGER = {
    True: insert_or_fail("ledger", _OF_A_CALL),
    False: insert_or_fail("ledger", _OF_AN_ACCOUNT),
}
"""By whether it is about a call; what a row has not is left out, for that is cheaper than to bind nothing."""

SYSTEM_ACTOR = "system"

_ABOUT_CALLS = frozenset({_HOLD, _SETTLEMENT, _RELEASE})


class CallBatch:
    """Used by the writer, for one transaction after the other of a connection, until one fails. ``records``: the usage rows,
    as they were charged; ``endings``: holds that have ended."""

    __slots__ = (
        *(
            "_all_limits",
            "_cursor",
            "_ended",
            "_entries",
            "_epoch_id",
            "_holds",
            "_known",
            "_ledger",
            "_limits",
            "_now",
        ),
        *("_noted", "_usage", "endings", "money", "opened", "records"),
    )

    def __init__(self, cursor: sqlite3.Cursor, known: Known, epoch_id: str, calendar: Calendar) -> None:
        self.money = Balances(cursor, known)
        self._all_limits = LimitBatch(cursor, known, calendar)
        self._cursor = cursor
        self._epoch_id = epoch_id
        self._known = known
        self._holds = known.holds
        self.records: list[UsageRecord] = []
        self.opened: list[Row] = []
        self.endings = 0
        self._limits: LimitBatch | None = None
        self._ledger: list[Row] = []
        self._noted = False
        self._ended: list[int] = []
        self._usage: list[Ended] = []

    def _begin(self, now: float, entries: int, *, limited: bool) -> None:
        self._now = now
        self._entries = entries
        self.records = []
        if limited:
            self._limits = self._all_limits
            self._limits.begin(now)
        else:
            self._limits = None

    def begin(self, touched: Touched, now: float) -> None:
        """A transaction of many items. Reads what is not known."""
        known, money = self._known, self.money
        money.load(touched.keys, touched.accounts)
        limited = money.limited(touched.keys)
        if known.entries is None:
            (known.entries,) = self._cursor.execute(_NEWEST_ENTRY).fetchone()
        self._begin(now, known.entries, limited=bool(limited or touched.counted))
        if self._limits is not None:
            self._limits.load(limited, touched.counted)

    def alone(
        self, intent: Intent[object], now: float, step: Callable[[str], None]
    ) -> list[int | Settled | RelayhubError | None] | None:
        """The transaction of one hold that is opened or ended, if all that it touches is known: decided and written.
        ``None``: nothing has happened."""
        if not isinstance(intent, (OpenHold, EndHold)) or not self._begin_alone(intent, now):
            return None
        step("after_load")
        answer = self.open(intent) if isinstance(intent, OpenHold) else self.end(intent)
        step("after_decide")
        self.note_grants()
        self.write_holds()
        step("after_holds")
        step("after_jobs")
        self.write_ledger()
        step("after_ledger")
        self.write_usage()
        step("after_usage")
        self.write_balances()
        step("after_balances")
        return [answer]

    def _begin_alone(self, intent: OpenHold | EndHold, now: float) -> bool:
        known, limited = self._known, False
        if isinstance(intent, OpenHold):
            key_id = intent.new.key_id
            if not known.epoch_stands:
                return False
        else:
            if (hold := self._holds.get(intent.hold_id)) is None:
                return False
            key_id, limited = hold.key_id, hold.windows != 0
        key = known.keys.get(key_id)
        if key is None or known.entries is None:
            return False
        limited = limited or key.limits is not None
        if limited and key_id not in known.counted:
            return False
        self._begin(now, known.entries, limited=limited)
        return True

    def open(self, intent: OpenHold, *, job: bool = False) -> int | RelayhubError | None:
        """The hold's id; ``None`` if nobody wants it any more."""
        if intent.abandoned:
            return None
        new, money, now = intent.new, self.money, self._now
        key = money.keys.get(new.key_id)
        if key is None or key.account_id != new.account_id:
            return refusals.unknown_key()
        account, amount, windows = money.accounts[key.account_id], new.amount_nano, 0
        if not key.plain or amount > account.total - account.used - account.held:
            admitted = self._admit(new, key, account, job=job)
            if not isinstance(admitted, int):
                return admitted
            windows = admitted
        self._entries = hold_id = self._entries + 1
        call_id, account_id, key_id, by = new.call_id, account.id, key.id, JOBS_EPOCH if job else self._epoch_id
        about, tokens, video_ms = intent.about_json, new.tokens, new.video_ms
        values = hold_id, call_id, account_id, key_id, amount, by, now, about, tokens, video_ms, windows
        money.move(key, account, amount)
        self.opened.append(values)
        self._holds[hold_id] = HoldRow(*values)
        self._ledger.append((hold_id, now, _HOLD, account_id, key_id, hold_id, call_id, amount))
        return hold_id

    def _admit(self, new: NewHold, key: KeyMoney, account: AccountMoney, *, job: bool) -> int | RelayhubError:
        """The bits of the windows that it is counted in, or why it is not opened. The last of the questions is the account's:
        an unlimited one has been given what it lacked."""
        if not key.lasting and (refusal := self.blocked(key)) is not None:
            return refusal
        limits, meter, amount = self._limits, None, new.amount_nano
        asked = (1, new.tokens, new.video_ms, amount)
        if key.limits is not None:
            assert limits is not None
            meter = limits.meter(key.id, key.limits, job=job)
            if (full := limits.refusal(meter, asked)) is not None:
                return full
        if key.limit is not None and amount > key.limit - key.used - key.held:
            return refusals.key_limit_reached()
        if amount > account.total - account.used - account.held and not account.cover(amount, unlimited=key.unlimited):
            return refusals.account_exhausted()
        if meter is None:
            return 0
        assert limits is not None
        return limits.opened(key.id, meter, asked)

    def blocked(self, key: KeyMoney) -> RelayhubError | None:
        if key.revoked_at is not None:
            return refusals.revoked_key()
        if key.disabled_at is not None:
            return refusals.disabled_key()
        if key.expires_at is not None and key.expires_at <= self._now:
            return refusals.expired_key()
        return None

    def end(self, intent: EndHold) -> Settled:
        hold, record, charge = self._holds.pop(intent.hold_id, None), intent.record, intent.charge
        if hold is None:
            return Settled(0, 0, ended_before=True)
        cost = nano(record.cost_nano) if charge and record is not None else 0
        charged = self._close(hold, record, cost, charge=charge)
        return Settled(charged, cost - charged)

    def give_up(self, hold: HoldRow, record: UsageRecord) -> None:
        """End it at no charge: nobody looks after it any more."""
        del self._holds[hold.hold_id]
        self._close(hold, record, 0, charge=False)

    def _close(self, hold: HoldRow, record: UsageRecord | None, cost: int, *, charge: bool) -> int:
        """Returns what could be charged: the hold, and whatever else key and account have left. The hold says whose call it
        was, whatever the record says."""
        hold_id, call_id, account_id, key_id, held = (
            hold.hold_id,
            hold.call_id,
            hold.account_id,
            hold.key_id,
            hold.amount,
        )
        money, charged = self.money, cost
        key, account = money.keys[key_id], money.accounts[account_id]
        if cost > held:
            charged = min(cost, held + key.remaining)
            if not account.cover(charged - held, unlimited=key.unlimited):
                charged = held + account.remaining
        money.move(key, account, -held, charged)
        self._ended.append(hold_id)
        kind, amount = (_SETTLEMENT, charged) if charge else (_RELEASE, held)
        self._entries = entry = self._entries + 1
        self._ledger.append((entry, self._now, kind, account_id, key_id, hold_id, call_id, amount))
        if self._limits is not None:
            self._limits.ended(hold, record, charged)
        if record is not None:
            if (
                record.cost_nano != charged
                or record.shortfall_nano != cost - charged
                or record.call_id != call_id
                or record.account_id != account_id
                or record.key_id != key_id
            ):
                record = structs.replace(
                    record,
                    call_id=call_id,
                    account_id=account_id,
                    key_id=key_id,
                    cost_nano=charged,
                    shortfall_nano=cost - charged,
                )
            self._usage.append((entry, record))
            self.records.append(record)
        return charged

    def note_grants(self) -> None:
        """What unlimited accounts were given."""
        for account in self.money.changed_accounts:
            if account.granted:
                self.note(LedgerKind.GRANT, account.id, account.granted, SYSTEM_ACTOR, "unlimited account")

    def note(self, kind: LedgerKind, account_id: str, amount: int, actor: str, reason: str) -> None:
        """What is not about a call."""
        self._noted = True
        self._entries = entry = self._entries + 1
        self._ledger.append((entry, self._now, kind.value, account_id, amount, actor, reason))

    def write_holds(self) -> None:
        if self.opened:
            insert_many(self._cursor, _INSERT_HOLD, self.opened)
            self.opened.clear()
        self.endings = len(self._ended)
        if self._ended:
            delete_many(self._cursor, _DELETE_HOLD, self._ended)
            self._ended.clear()

    def write_ledger(self) -> None:
        """In the order in which it was decided."""
        self._known.entries = self._entries
        if self._noted:
            for about_calls, rows in groupby(self._ledger, _is_about_a_call):
                insert_many(self._cursor, _INSERT_LEDGER[about_calls], [*rows])
            self._noted = False
        elif self._ledger:
            insert_many(self._cursor, _INSERT_LEDGER[True], self._ledger)
        self._ledger.clear()

    def write_usage(self) -> None:
        if self._usage:
            insert_usage(self._cursor, self._usage)
            self._usage.clear()

    def write_balances(self) -> None:
        """Their CHECK is the last word on an overdraft."""
        if self._limits is not None:
            self._limits.write()
        self.money.write()


def _is_about_a_call(row: Row) -> bool:
    return row[2] in _ABOUT_CALLS

"""``ledger check``: the equations that hold at every instant, asked of the database in one read transaction."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Select, and_, case, func, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import ColumnElement

from relayhub.store.intents import LedgerKind
from relayhub.store.schema import accounts, holds, keys, ledger, usage

MOST_SHOWN = 50
"""Violations listed per rule; a damaged ledger has either a few or all of them."""

_TOTALS = (LedgerKind.GRANT, LedgerKind.REDEMPTION, LedgerKind.ADJUSTMENT)
_ENDS = (LedgerKind.SETTLEMENT, LedgerKind.RELEASE)


@dataclass(frozen=True, slots=True)
class Violation:
    """An equation that does not hold. ``subject``: the account, key or hold."""

    subject: str
    rule: str
    found: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.rule} ({self.found})"


async def violations(connection: AsyncConnection) -> list[Violation]:
    """Everything that is wrong; empty for exact books."""
    found: list[Violation] = []
    for rule, statement in _rules():
        rows = await connection.execute(statement.limit(MOST_SHOWN))
        found += [Violation(str(row[0]), rule, f"stored {row[1]}, computed {row[2]}") for row in rows]
    return found


def _rules() -> list[tuple[str, Select[str, int, int]]]:
    """Each statement selects subject, stored value and computed value where the two differ."""
    return [
        ("total = grants + redemptions + adjustments", _account_differs(accounts.c.total_nano, _ledger_sum(*_TOTALS))),
        ("used = settlements - refunds", _account_differs(accounts.c.used_nano, _used())),
        ("used = usage", _account_differs(accounts.c.used_nano, _usage_sum(accounts.c.id, usage.c.account_id))),
        ("held = open holds", _account_differs(accounts.c.held_nano, _hold_sum(accounts.c.id, holds.c.account_id))),
        ("remaining is not negative", _overdrawn()),
        ("key: used = usage", _key_differs(keys.c.used_nano, _usage_sum(keys.c.id, usage.c.key_id))),
        ("key: held = open holds", _key_differs(keys.c.held_nano, _hold_sum(keys.c.id, holds.c.key_id))),
        ("key: within its limit", _over_limit()),
        ("a hold is open or has ended, once", _holds_astray()),
        ("an open hold is in the ledger with its amount", _holds_unbooked()),
        ("a settlement has its usage row with its amount", _settlements_unrecorded()),
    ]


def _ledger_sum(*kinds: LedgerKind) -> ColumnElement[int]:
    return (
        select(func.coalesce(func.sum(ledger.c.amount_nano), 0))
        .where(ledger.c.account_id == accounts.c.id, ledger.c.kind.in_([kind.value for kind in kinds]))
        .scalar_subquery()
    )


def _used() -> ColumnElement[int]:
    return _ledger_sum(LedgerKind.SETTLEMENT) - _ledger_sum(LedgerKind.REFUND)


def _usage_sum(owner: ColumnElement[str], column: ColumnElement[str]) -> ColumnElement[int]:
    return select(func.coalesce(func.sum(usage.c.cost_nano), 0)).where(column == owner).scalar_subquery()


def _hold_sum(owner: ColumnElement[str], column: ColumnElement[str]) -> ColumnElement[int]:
    return select(func.coalesce(func.sum(holds.c.amount_nano), 0)).where(column == owner).scalar_subquery()


def _account_differs(stored: ColumnElement[int], computed: ColumnElement[int]) -> Select[str, int, int]:
    return select(accounts.c.name, stored, computed).where(stored != computed)


def _key_differs(stored: ColumnElement[int], computed: ColumnElement[int]) -> Select[str, int, int]:
    return select(keys.c.name, stored, computed).where(stored != computed)


def _overdrawn() -> Select[str, int, int]:
    remaining = accounts.c.total_nano - accounts.c.used_nano - accounts.c.held_nano
    return select(accounts.c.name, remaining, literal(0)).where(remaining < 0)


def _over_limit() -> Select[str, int, int]:
    left = keys.c.limit_nano - keys.c.used_nano - keys.c.held_nano
    return select(keys.c.name, left, literal(0)).where(keys.c.limit_nano.is_not(None), left < 0)


def _holds_astray() -> Select[str, int, int]:
    """Every ``hold`` row of the ledger: one open hold or one end, never both or neither."""
    ended = func.sum(case((ledger.c.kind.in_([kind.value for kind in _ENDS]), 1), else_=0))
    begun = func.sum(case((ledger.c.kind == LedgerKind.HOLD.value, 1), else_=0))
    opened = select(func.count()).where(holds.c.hold_id == ledger.c.hold_id).scalar_subquery()
    return (
        select(ledger.c.hold_id, begun, ended + opened)
        .where(ledger.c.hold_id.is_not(None))
        .group_by(ledger.c.hold_id)
        .having((begun != 1) | (ended + opened != 1))
    )


def _holds_unbooked() -> Select[str, int, int]:
    booked = ledger.alias()
    matches = and_(booked.c.hold_id == holds.c.hold_id, booked.c.kind == LedgerKind.HOLD.value)
    amount = func.coalesce(booked.c.amount_nano, -1)
    return (
        select(holds.c.hold_id, holds.c.amount_nano, amount)
        .select_from(holds.outerjoin(booked, matches))
        .where(amount != holds.c.amount_nano)
    )


def _settlements_unrecorded() -> Select[str, int, int]:
    cost = func.coalesce(usage.c.cost_nano, -1)
    return (
        select(ledger.c.hold_id, ledger.c.amount_nano, cost)
        .select_from(ledger.outerjoin(usage, usage.c.hold_id == ledger.c.hold_id))
        .where(ledger.c.kind == LedgerKind.SETTLEMENT.value, cost != ledger.c.amount_nano)
    )

"""``ledger check``: the equations that hold at every instant, asked of the database in one read transaction."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import (
    FromClause,
    Select,
    Table,
    Text,
    and_,
    case,
    cast,
    func,
    literal,
    literal_column,
    or_,
    select,
    union_all,
)
from sqlalchemy.sql.elements import ColumnElement

from relayhub.store.async_connection import AsyncConnection
from relayhub.store.check_blocks import times_differing, times_returning, values_differing
from relayhub.store.intents import LedgerKind
from relayhub.store.schema import (
    accounts,
    code_batches,
    codes,
    holds,
    keys,
    ledger,
    redemptions,
    usage,
    usage_rollups,
)
from relayhub.store.usage_levels import DAYS, LEVELS
from relayhub.store.usage_sums import RAW_SINCE, ROLLED, day_of, mark, not_rolled

MOST_SHOWN = 50
"""Violations listed per rule; a damaged ledger has either a few or all of them."""

_POINTING_NOWHERE = 'SELECT "table", rowid, parent FROM pragma_foreign_key_check'

_TOTALS = (LedgerKind.GRANT, LedgerKind.REDEMPTION, LedgerKind.ADJUSTMENT)
_ENDS: list[ColumnElement[str]] = [
    literal_column(f"'{kind.value}'") for kind in (LedgerKind.SETTLEMENT, LedgerKind.RELEASE)
]
"""In the words of the index that has them; it is not used for values that are bound."""


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
        rows = await connection.execute(statement)
        found += [Violation(str(row[0]), rule, f"stored {row[1]}, computed {row[2]}") for row in rows]
    return found + await _pointing_nowhere(connection)


async def _pointing_nowhere(connection: AsyncConnection) -> list[Violation]:
    """The writer's own connection does not look for it at each row."""
    rows = await connection.exec_driver_sql(_POINTING_NOWHERE)
    return [
        Violation(f"row {row} of {table}", "what it refers to is there", f"none of {parent}")
        for table, row, parent in rows
    ]


@cache
def _rules() -> tuple[tuple[str, Select[str, Any, Any]], ...]:
    """Each statement selects subject, stored value and computed value where the two differ. Sums are grouped, not
    correlated: a check reads each table a few times, however many accounts there are."""
    return tuple((rule, statement.limit(MOST_SHOWN)) for rule, statement in _all_rules())


def _all_rules() -> list[tuple[str, Select[str, Any, Any]]]:
    return [
        (
            "total = grants + redemptions + adjustments",
            _differs(accounts, "total_nano", _ledger("account_id", *_TOTALS)),
        ),
        ("used = settlements - refunds", _differs(accounts, "used_nano", _used("account_id"))),
        ("used = usage", _differs(accounts, "used_nano", _recorded("account_id"))),
        ("held = open holds", _differs(accounts, "held_nano", _sum(holds.c.account_id, holds.c.amount_nano))),
        ("remaining is not negative", _overdrawn()),
        ("key: used = settlements - refunds", _differs(keys, "used_nano", _used("key_id"))),
        ("key: used = usage", _differs(keys, "used_nano", _recorded("key_id"))),
        ("key: held = open holds", _differs(keys, "held_nano", _sum(holds.c.key_id, holds.c.amount_nano))),
        ("key: within its limit", _over_limit()),
        ("a hold is open or has ended, once", _holds_astray()),
        ("an open hold is in the ledger with its amount", _holds_unbooked()),
        ("a release gives back what was held", _releases_differing()),
        ("a settlement has its usage row with its amount", _settlements_unrecorded()),
        ("a usage row belongs to a hold that ended", _usage_unbooked()),
        ("a day's usage is what its calls add up to", _days_differing("cost_nano")),
        ("a day's calls are all of its usage", _days_differing("calls")),
        ("usage by day, month and user comes to the same", _levels_differing("cost_nano")),
        ("calls by day, month and user come to the same", _levels_differing("calls")),
        ("a call lies in the time of its block", times_differing()),
        ("blocks are in the order of time", times_returning()),
        ("a block names what its calls have", values_differing()),
        ("no ledger row is missing", _rows_missing()),
        ("a code was used as often as it was redeemed", _codes_astray()),
        ("redemptions are in the ledger with their amounts", _redemptions_unbooked()),
    ]


def _sum(owner: ColumnElement[str], amount: ColumnElement[int]) -> Select[str, int]:
    return select(owner.label("owner"), func.sum(amount).label("amount")).group_by(owner)


def _ledger(owner: str, *kinds: LedgerKind) -> Select[str, int]:
    return _sum(ledger.c[owner], ledger.c.amount_nano).where(ledger.c.kind.in_([kind.value for kind in kinds]))


def _used(owner: str) -> Select[str, int]:
    signed = case((ledger.c.kind == LedgerKind.REFUND.value, -ledger.c.amount_nano), else_=ledger.c.amount_nano)
    kinds = [LedgerKind.SETTLEMENT.value, LedgerKind.REFUND.value]
    return _sum(ledger.c[owner], signed).where(ledger.c.kind.in_(kinds))


def _differs(table: Table, stored: str, sums: Select[str, int]) -> Select[str, int, int]:
    """Accounts or keys whose stored amount is not the sum for them (0 where there is nothing to sum)."""
    computed = sums.subquery()
    amount = func.coalesce(computed.c.amount, 0)
    return (
        select(table.c.name, table.c[stored], amount)
        .select_from(table.outerjoin(computed, computed.c.owner == table.c.id))
        .where(table.c[stored] != amount)
    )


def _releases_differing() -> Select[str, int, int]:
    begun, ended = ledger.alias("begun"), ledger.alias("ended")
    return (
        select(ended.c.hold_id, ended.c.amount_nano, begun.c.amount_nano)
        .select_from(ended.join(begun, begun.c.id == ended.c.hold_id))
        .where(ended.c.kind == LedgerKind.RELEASE.value, ended.c.amount_nano != begun.c.amount_nano)
    )


def _usage_unbooked() -> Select[str, int, int]:
    ended = ledger.alias("ended")
    ends = and_(ended.c.id == usage.c.id, ended.c.kind.in_(_ENDS))
    return (
        select(usage.c.id, usage.c.cost_nano, literal(0))
        .select_from(usage.outerjoin(ended, ends))
        .where(ended.c.id.is_(None))
    )


def _rows_missing() -> Select[str, int, int]:
    """Ids have no gaps: those of a transaction that fails are given to the next one."""
    newest = func.coalesce(func.max(ledger.c.id), 0)
    return select(literal("ledger"), newest, func.count()).select_from(ledger).having(newest != func.count())


def _codes_astray() -> Select[str, int, int]:
    redeemed = select(redemptions.c.code_id, func.count().label("times")).group_by(redemptions.c.code_id).subquery()
    used, times = code_batches.c.max_uses - codes.c.uses_left, func.coalesce(redeemed.c.times, 0)
    return (
        select(codes.c.id, used, times)
        .select_from(codes.join(code_batches).outerjoin(redeemed, redeemed.c.code_id == codes.c.id))
        .where(used != times)
    )


def _redemptions_unbooked() -> Select[str, int, int]:
    booked = _ledger("account_id", LedgerKind.REDEMPTION).subquery()
    added = _sum(redemptions.c.account_id, redemptions.c.amount_nano).subquery()
    ours, theirs = func.coalesce(added.c.amount, 0), func.coalesce(booked.c.amount, 0)
    return (
        select(accounts.c.name, ours, theirs)
        .select_from(
            accounts.outerjoin(added, added.c.owner == accounts.c.id).outerjoin(booked, booked.c.owner == accounts.c.id)
        )
        .where(ours != theirs)
    )


def _overdrawn() -> Select[str, int, int]:
    remaining = accounts.c.total_nano - accounts.c.used_nano - accounts.c.held_nano
    return select(accounts.c.name, remaining, literal(0)).where(remaining < 0)


def _over_limit() -> Select[str, int, int]:
    left = keys.c.limit_nano - keys.c.used_nano - keys.c.held_nano
    return select(keys.c.name, left, literal(0)).where(keys.c.limit_nano.is_not(None), left < 0)


def _holds_astray() -> Select[str, int, int]:
    """Every ``hold`` row of the ledger: one open hold or one end, never both or neither. And no end without its beginning."""
    begun, ended = ledger.alias("begun"), ledger.alias("ended")
    ends = ended.c.kind.in_(_ENDS)
    closed = select(func.count()).where(ended.c.hold_id == begun.c.id, ends).scalar_subquery()
    opened = select(func.count()).where(holds.c.hold_id == begun.c.id).scalar_subquery()
    each = select(begun.c.id, literal(1), closed + opened).where(begun.c.kind == LedgerKind.HOLD.value)
    never = ended.outerjoin(begun, and_(begun.c.id == ended.c.hold_id, begun.c.kind == LedgerKind.HOLD.value))
    astray = union_all(
        each.where(closed + opened != 1),
        select(ended.c.hold_id, literal(0), literal(1)).select_from(never).where(ends, begun.c.id.is_(None)),
    ).subquery()
    return select(astray)


def _holds_unbooked() -> Select[str, int, int]:
    booked = ledger.alias()
    matches = and_(booked.c.id == holds.c.hold_id, booked.c.kind == LedgerKind.HOLD.value)
    amount = func.coalesce(booked.c.amount_nano, -1)
    return (
        select(holds.c.hold_id, holds.c.amount_nano, amount)
        .select_from(holds.outerjoin(booked, matches))
        .where(amount != holds.c.amount_nano)
    )


def _settlements_unrecorded() -> Select[str, int, int]:
    """Of calls that are rolled up, and too old to be kept one by one, only the sums can be checked."""
    cost = func.coalesce(usage.c.cost_nano, -1)
    kept = or_(usage.c.id.is_not(None), ledger.c.at >= mark(RAW_SINCE), ledger.c.id > mark(ROLLED))
    return (
        select(ledger.c.hold_id, ledger.c.amount_nano, cost)
        .select_from(ledger.outerjoin(usage, usage.c.id == ledger.c.id))
        .where(ledger.c.kind == LedgerKind.SETTLEMENT.value, kept, cost != ledger.c.amount_nano)
    )


def _recorded(owner: str) -> Select[str, int]:
    """What calls cost: by day as far as they are rolled up, one by one after that."""
    days = select(usage_rollups.c[owner].label("owner"), usage_rollups.c.cost_nano.label("amount"))
    rest = not_rolled()
    both = union_all(days.where(usage_rollups.c.level == DAYS.name), select(rest.c[owner], rest.c.cost_nano)).subquery()
    return _sum(both.c.owner, both.c.amount)


def _days_differing(measure: str) -> Select[str, int, int]:
    """By key and day (its first second), where all calls are still there: what is rolled up and what is not yet, against
    them."""
    rolled, since, rest = usage_rollups.c, mark(RAW_SINCE), not_rolled()
    stored = select(rolled.key_id, rolled.start.label("day"), rolled[measure].label("stored"), literal(0).label("raw"))
    both = union_all(
        stored.where(rolled.level == DAYS.name, rolled.start >= since),
        select(rest.c.key_id, day_of(rest.c.at), _one(rest, measure), literal(0)).where(rest.c.at >= since),
        select(usage.c.key_id, day_of(usage.c.at), literal(0), _one(usage, measure)).where(usage.c.at >= since),
    ).subquery()
    subject, ours, theirs = both.c.key_id + " " + cast(both.c.day, Text), func.sum(both.c.stored), func.sum(both.c.raw)
    return select(subject, ours, theirs).group_by(both.c.key_id, both.c.day).having(ours != theirs)


def _one(rows: FromClause, measure: str) -> ColumnElement[int]:
    """Of a single call."""
    one: ColumnElement[int] = literal(1) if measure == "calls" else rows.c[measure]
    return one


def _levels_differing(measure: str) -> Select[str, int, int]:
    """Of each account where levels know it, and in all."""
    rolled, known = usage_rollups.c, [level.name for level in LEVELS if "account_id" in level.knows]
    in_all = select(literal("all").label("owner"), func.sum(rolled[measure]).label("amount"), rolled.level)
    by_account = _sum(rolled.account_id, rolled[measure]).add_columns(rolled.level).where(rolled.level.in_(known))
    sums = union_all(in_all.group_by(rolled.level), by_account.group_by(rolled.level)).subquery()
    least, most = func.min(sums.c.amount), func.max(sums.c.amount)
    levels = case((sums.c.owner == "all", len(LEVELS)), else_=len(known))
    everywhere = func.count() == levels
    return select(sums.c.owner, least, most).group_by(sums.c.owner).having((least != most) | ~everywhere)

"""Usage rows, for people: lists and totals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping, Select, func, select
from sqlalchemy.sql.elements import ColumnElement

from relayhub.store.engine import Engine
from relayhub.store.schema import accounts, keys, usage
from relayhub.types.json import JsonObject

GROUPS = ("key", "account", "model", "provider", "operation", "outcome", "user")


@dataclass(frozen=True, slots=True)
class UsageFilter:
    """Times are unix seconds, ``since`` inclusive and ``until`` exclusive; names are exact."""

    since: float | None = None
    until: float | None = None
    account: str | None = None
    key: str | None = None
    model: str | None = None
    provider: str | None = None
    user: str | None = None


class UsageReport:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def rows(self, wanted: UsageFilter, limit: int) -> list[JsonObject]:
        """The newest calls first, each with all its fields, key and account by name."""
        statement = (
            select(usage, keys.c.name.label("key"), accounts.c.name.label("account"))
            .join(keys, keys.c.id == usage.c.key_id)
            .join(accounts, accounts.c.id == usage.c.account_id)
            .where(*_conditions(wanted))
            .order_by(usage.c.at.desc(), usage.c.hold_id.desc())
            .limit(limit)
        )
        async with self._engine.reading() as connection:
            return [_plain(row) for row in (await connection.execute(statement)).mappings()]

    async def totals(self, wanted: UsageFilter, group: str) -> list[JsonObject]:
        """One row per value of ``group``, dearest first."""
        async with self._engine.reading() as connection:
            found = (await connection.execute(_totals(wanted, group))).mappings()
            return [_plain(row) for row in found]


def _plain(row: RowMapping) -> JsonObject:
    """SQLAlchemy's names are a subclass of ``str`` that JSON writers refuse."""
    return {str(name): value for name, value in row.items()}


def _group_column(group: str) -> ColumnElement[str]:
    match group:
        case "key":
            return keys.c.name
        case "account":
            return accounts.c.name
        case "user":
            return usage.c.user_identifier
        case _:
            column: ColumnElement[str] = usage.c[group]
            return column


def _totals(wanted: UsageFilter, group: str) -> Select[*tuple[Any, ...]]:
    column = _group_column(group)
    cost = func.sum(usage.c.cost_nano)
    failed = func.sum((usage.c.error_code.is_not(None)).cast(usage.c.attempts.type))
    return (
        select(
            column.label("group"),
            func.count().label("calls"),
            failed.label("errors"),
            func.sum(usage.c.input_tokens).label("input_tokens"),
            func.sum(usage.c.output_tokens).label("output_tokens"),
            cost.label("cost_nano"),
        )
        .select_from(usage)
        .join(keys, keys.c.id == usage.c.key_id)
        .join(accounts, accounts.c.id == usage.c.account_id)
        .where(*_conditions(wanted))
        .group_by(column)
        .order_by(cost.desc(), column)
    )


def _conditions(wanted: UsageFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.since is not None:
        conditions.append(usage.c.at >= wanted.since)
    if wanted.until is not None:
        conditions.append(usage.c.at < wanted.until)
    exact = (
        (accounts.c.name, wanted.account),
        (keys.c.name, wanted.key),
        (usage.c.model, wanted.model),
        (usage.c.provider, wanted.provider),
        (usage.c.user_identifier, wanted.user),
    )
    return conditions + [column == value for column, value in exact if value is not None]

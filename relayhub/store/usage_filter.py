"""Which calls are wanted."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import FromClause, Select, func, select, true
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import ColumnElement

from relayhub.store.schema import accounts, keys


@dataclass(frozen=True, slots=True)
class UsageFilter:
    """Times are unix seconds, ``since`` inclusive and ``until`` exclusive; names are exact. ``tag``: one that the key has
    now."""

    since: float | None = None
    until: float | None = None
    account: str | None = None
    key: str | None = None
    model: str | None = None
    provider: str | None = None
    user: str | None = None
    account_id: str | None = None
    key_id: str | None = None
    tag: str | None = None
    operation: str | None = None
    outcome: str | None = None

    @property
    def needs(self) -> frozenset[str]:
        """The dimensions that tell which calls are wanted."""
        asked = {
            "account_id": (self.account, self.account_id),
            "key_id": (self.key, self.key_id, self.tag),
            "model": (self.model,),
            "provider": (self.provider,),
            "operation": (self.operation,),
            "outcome": (self.outcome,),
            "user_identifier": (self.user,),
        }
        return frozenset(name for name, given in asked.items() if any(value is not None for value in given))


@dataclass(frozen=True, slots=True)
class Condition:
    """The column of that name is the value, or one of those that are selected."""

    column: str
    value: str | Select[str]

    def on(self, rows: FromClause) -> ColumnElement[bool]:
        column = rows.c[self.column]
        if self.value == "":
            return func.coalesce(column, "") == ""
        return column == self.value if isinstance(self.value, str) else column.in_(self.value)


async def conditions_of(connection: AsyncConnection, wanted: UsageFilter) -> list[Condition]:
    exact = {
        "account_id": wanted.account_id,
        "key_id": wanted.key_id,
        "model": wanted.model,
        "provider": wanted.provider,
        "operation": wanted.operation,
        "outcome": wanted.outcome,
        "user_identifier": wanted.user,
    }
    found = [Condition(column, value) for column, value in exact.items() if value is not None]
    if wanted.account is not None:
        named = select(accounts.c.id).where(accounts.c.name == wanted.account)
        found.append(Condition("account_id", await _single(connection, named)))
    if wanted.key is not None:
        found.append(Condition("key_id", await _single(connection, select(keys.c.id).where(keys.c.name == wanted.key))))
    if wanted.tag is not None:
        tags = func.json_each(keys.c.tags).table_valued("value")
        tagged = select(keys.c.id).join(tags, true()).where(tags.c.value == wanted.tag)
        found.append(Condition("key_id", await _single(connection, tagged)))
    return found


async def _single(connection: AsyncConnection, ids: Select[str]) -> str | Select[str]:
    """The one id itself, where there is one: the index that has its calls in the order of time is of use only then."""
    found = (await connection.execute(ids.limit(2))).scalars().all()
    return found[0] if len(found) == 1 else ids

"""Which calls are wanted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import FromClause, Select, Text, func, literal_column, select, true
from sqlalchemy.sql.elements import ColumnElement

from relayhub.store.async_connection import AsyncConnection
from relayhub.store.schema import accounts, keys, usage
from relayhub.types.call import Operation, Outcome

USER = "user_identifier"
"""The one dimension that a call may be without."""


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
            USER: (self.user,),
        }
        return frozenset(name for name, given in asked.items() if any(value is not None for value in given))


@dataclass(frozen=True, slots=True)
class Condition:
    """The column of that name is the value, or one of those that are selected. ``""`` is a column without a value."""

    column: str
    value: str | Select[str]

    @property
    def several(self) -> bool:
        return not isinstance(self.value, str)

    def on(self, rows: FromClause) -> ColumnElement[bool]:
        return self.holds(rows.c[self.column])

    def holds(self, column: ColumnElement[Any]) -> ColumnElement[bool]:
        if isinstance(self.value, str) and self.value:
            return column == self.value
        if self.column == USER:
            column = func.coalesce(column, "")
        return column == self.value if isinstance(self.value, str) else column.in_(self.value)


def among(column: str, values: Sequence[str]) -> Condition:
    """Any number of values."""
    listed = func.json_each(orjson.dumps(values).decode()).table_valued("value")
    return Condition(column, select(listed.c.value))


_USUAL = {"outcome": Outcome.COMPLETED.value, "operation": Operation.CHAT.value}


def on_calls(where: Sequence[Condition]) -> Iterator[ColumnElement[bool]]:
    """For ``usage`` itself, so that indexes are used by those conditions alone that they are for: those with a user, or with
    what few calls have. By any other SQLite might make an index of all calls first; a plus says that it must not."""
    for condition in where:
        usual = _USUAL.get(condition.column)
        if usual is not None and not condition.several and condition.value != usual:
            yield usage.c[condition.column] != literal_column(f"'{usual}'")  # in the words of the index
            yield condition.on(usage)
        elif condition.column == USER:
            yield condition.on(usage)
        else:
            yield condition.holds(literal_column(f"+usage.{condition.column}", Text))


async def conditions_of(connection: AsyncConnection, wanted: UsageFilter) -> list[Condition]:
    exact = {
        "account_id": wanted.account_id,
        "key_id": wanted.key_id,
        "model": wanted.model,
        "provider": wanted.provider,
        "operation": wanted.operation,
        "outcome": wanted.outcome,
        USER: wanted.user,
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
    """The one id itself, where there is one: blocks are found by one only. Nobody has none."""
    found = (await connection.execute(ids.limit(2))).scalars().all()
    return ids if len(found) > 1 else found[0] if found else ""

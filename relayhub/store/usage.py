"""Usage, for people: single calls, and what they add up to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import Any

import orjson
from sqlalchemy import RowMapping, Select, func, select

from relayhub.store.async_connection import AsyncConnection
from relayhub.store.engine import Engine
from relayhub.store.schema import accounts, keys, usage
from relayhub.store.usage_filter import UsageFilter, conditions_of
from relayhub.store.usage_levels import Span
from relayhub.store.usage_newest import newest
from relayhub.store.usage_question import Question, by_group, dearest, in_all
from relayhub.store.usage_sums import RAW_SINCE, mark
from relayhub.store.usage_totals import UsageSum, UsageTotals, group_of, sum_of
from relayhub.types.errors import invalid_request
from relayhub.types.json import JsonObject

__all__ = ["GROUPS", "MOST_GROUPS", "UsageFilter", "UsageReport", "UsageSum", "UsageTotals", "cursor_of"]

GROUPS = ("key", "account", "model", "provider", "operation", "outcome", "user", "tag", "day")

MOST_GROUPS = 10_000

_CURSOR = re.compile(r"[1-9][0-9]{0,17}")


def cursor_of(row: JsonObject) -> str:
    """For the rows after this one of :meth:`UsageReport.rows`."""
    return str(row["id"])


class UsageReport:
    """All methods raise ``HubError`` UNAVAILABLE if the store cannot be read."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def rows(self, wanted: UsageFilter, limit: int, after: str | None = None) -> list[JsonObject]:
        """The newest calls first, in the order of the ledger, each with all its fields, key and account by name. ``after``: a
        :func:`cursor_of`; raises ``ClientError`` INVALID_REQUEST for anything else."""
        below = None if after is None else _place(after)
        async with self._engine.reading() as connection:
            where = await conditions_of(connection, wanted)
            found = await newest(connection, where, Span(wanted.since, wanted.until), limit, below)
            return [_plain(row) for row in (await connection.execute(_rows(found))).mappings()]

    async def totals(self, wanted: UsageFilter, group: str, most: int = MOST_GROUPS) -> UsageTotals:
        """``group``: one of :data:`GROUPS`. A call of a key with several tags is in the group of each."""
        async with self._engine.reading() as connection:
            raw_since = (await connection.execute(select(mark(RAW_SINCE)))).scalar_one()
            question = Question(wanted, group, await conditions_of(connection, wanted), raw_since)
            shown = await _shown(connection, question, most)
            groups = [group_of(row) for row in (await connection.execute(by_group(shown, most + 1))).mappings()]
            if group != "tag" and shown is question and len(groups) <= most:
                total: UsageSum = reduce(add, (one.sum for one in groups), UsageSum())
            else:
                total = sum_of((await connection.execute(in_all(question))).mappings().one())
        return UsageTotals(question.span, total, tuple(groups[:most]))


async def _shown(connection: AsyncConnection, question: Question, most: int) -> Question:
    """The question about those groups that are shown, where there are more of them."""
    if question.group not in ("key", "account", "user"):
        return question
    places: Sequence[str] = (await connection.execute(dearest(question, most + 1))).scalars().all()
    return question if len(places) <= most else question.among(places[:most])


def _place(cursor: str) -> int:
    if _CURSOR.fullmatch(cursor) is None:
        raise invalid_request("This is not the `next` of a page of usage.", code="invalid_cursor", param="after")
    return int(cursor)


def _rows(ids: Sequence[int]) -> Select[*tuple[Any, ...]]:
    listed = func.json_each(orjson.dumps(ids).decode()).table_valued("value")
    return (
        select(usage, keys.c.name.label("key"), accounts.c.name.label("account"))
        .join(keys, keys.c.id == usage.c.key_id)
        .join(accounts, accounts.c.id == usage.c.account_id)
        .where(usage.c.id.in_(select(listed.c.value)))
        .order_by(usage.c.id.desc())
    )


def _plain(row: RowMapping) -> JsonObject:
    """SQLAlchemy's names are a subclass of ``str`` that JSON writers refuse."""
    plain = {str(name): value for name, value in row.items()}
    media = plain["media"]
    return {**plain, "media": None if media is None else orjson.loads(media)}

"""The newest calls of a kind: first the tail is looked at, then blocks, some at a time, until there are enough."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
from sqlalchemy import BigInteger, ColumnElement, Select, cast, func, select

from relayhub.store.async_connection import AsyncConnection
from relayhub.store.schema import keys, usage, usage_block_values
from relayhub.store.usage_blocks import BITS, SIZE
from relayhub.store.usage_calls import (
    LAST_ID,
    InThisOrder,
    conditions_on,
    exact_ones,
    first_block,
    first_id,
    is_named,
    last_block,
    last_id,
    looked_up_in,
    tail,
)
from relayhub.store.usage_filter import Condition
from relayhub.store.usage_levels import Span

BLOCKS_AT_FIRST, MOST_BLOCKS = 16, 1024
"""That are looked through at once: more each time, when those before had too few such calls."""


async def newest(
    connection: AsyncConnection, where: Sequence[Condition], span: Span, limit: int, below: int | None = None
) -> list[int]:
    """Ids of such calls, the newest first, from those below ``below``."""
    bounds = select(first_block(span.first, 0), last_block(span.last), tail())
    first, last, rest = (await connection.execute(bounds)).one()
    top = LAST_ID if below is None else below - 1
    conditions = conditions_on(where, span)
    found = await _ids(connection, usage.c.id.between(rest, top), conditions, limit)
    last = min(last, top >> BITS)
    if not exact_ones(where) and not _of_some_keys(where):
        known = usage.c.id.between(first << BITS, min(top, (last << BITS) + SIZE - 1))
        return found + await _ids(connection, known, conditions, limit - len(found))
    many = BLOCKS_AT_FIRST
    while len(found) < limit and first <= last:
        blocks = (await connection.execute(_newest_blocks(where, first, last, many))).scalars().all()
        found += await _ids_of_blocks(connection, blocks, [usage.c.id <= top, *conditions], limit - len(found))
        last, many = (blocks[-1] if len(blocks) == many else first) - 1, min(2 * many, MOST_BLOCKS)
    return found


async def _ids(
    connection: AsyncConnection, known: ColumnElement[bool], conditions: Sequence[ColumnElement[bool]], limit: int
) -> list[int]:
    chosen = select(usage.c.id).where(known, *conditions).order_by(usage.c.id.desc()).limit(limit)
    return [row.id for row in await connection.execute(chosen)]


async def _ids_of_blocks(
    connection: AsyncConnection, blocks: Sequence[int], conditions: Sequence[ColumnElement[bool]], limit: int
) -> list[int]:
    listed = func.json_each(orjson.dumps(blocks).decode()).table_valued("value")
    block = cast(listed.c.value, BigInteger)
    places = select(first_id(block).label("first"), last_id(block).label("last")).subquery("places")
    chosen = select(usage.c.id).select_from(looked_up_in(places)).where(*conditions)
    return [row.id for row in await connection.execute(chosen.order_by(usage.c.id.desc()).limit(limit))]


def _newest_blocks(where: Sequence[Condition], first: int, last: int, many: int) -> Select[int]:
    """The newest that may have such calls, from ``first`` to ``last``."""
    exact = exact_ones(where)
    several = _of_some_keys(where)
    v = usage_block_values.alias("v")
    if several and (not exact or exact[0].column != "key_id"):
        return _newest_of_each(several, exact, first, last, many)
    named = [is_named(v.c.block, condition) for condition in exact[1:]]
    mine = [v.c.dimension == exact[0].column, v.c.value == exact[0].value, v.c.block.between(first, last)]
    return select(v.c.block).where(*mine, *named).order_by(v.c.block.desc()).limit(many)


def _of_some_keys(where: Sequence[Condition]) -> list[Select[str]]:
    return [one.value for one in where if one.column == "key_id" and not isinstance(one.value, str)]


def _newest_of_each(
    several: Sequence[Select[str]], exact: Sequence[Condition], first: int, last: int, many: int
) -> Select[int]:
    """The newest blocks of some keys are among the newest of each of them."""
    owners, v, one = keys.alias("owners"), usage_block_values.alias("v"), usage_block_values.alias("one")
    mine = [v.c.dimension == "key_id", v.c.value == owners.c.id, v.c.block.between(first, last)]
    named = [is_named(v.c.block, condition) for condition in exact]
    newest_of_one = select(v.c.block).where(*mine, *named).order_by(v.c.block.desc()).limit(many)
    own = newest_of_one.correlate(owners).scalar_subquery()
    found = InThisOrder(
        owners, one, (one.c.dimension == "key_id") & (one.c.value == owners.c.id) & one.c.block.in_(own)
    )
    chosen = [owners.c.id.in_(ids) for ids in several]
    return select(one.c.block).distinct().select_from(found).where(*chosen).order_by(one.c.block.desc()).limit(many)

"""Finding single calls by blocks; see :mod:`relayhub.store.usage_blocks`.

Whatever a block says, the calls in it are looked at one by one: it only tells where none can be.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    CompoundSelect,
    Join,
    Subquery,
    exists,
    func,
    literal,
    select,
    union_all,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from relayhub.store.schema import usage, usage_block_values, usage_blocks
from relayhub.store.usage_blocks import BITS, SIZE
from relayhub.store.usage_filter import Condition, on_calls
from relayhub.store.usage_levels import Span
from relayhub.store.usage_sums import ROLLED, mark, within

LAST_ID = 2**63 - 1


class InThisOrder(Join):
    """``CROSS JOIN``, which SQLite never turns round: it cannot know what there is little of."""

    inherit_cache = True


@compiles(InThisOrder)
def _cross_join(
    join: InThisOrder, compiler: SQLCompiler, asfrom: bool = False, from_linter: object = None, **options: Any
) -> str:
    left, right = (compiler.process(side, asfrom=True, **options) for side in (join.left, join.right))
    assert join.onclause is not None
    return f"{left} CROSS JOIN {right} ON {compiler.process(join.onclause, **options)}"


def calls(where: Sequence[Condition], span: Span, after: int = 0) -> tuple[Join, list[ColumnElement[bool]]]:
    """Rows of usage with ids above ``after``: where to select them from, and on which conditions."""
    found = looked_up_in(_places(where, span, after).subquery("places"))
    return found, [usage.c.id > after, *conditions_on(where, span)]


def looked_up_in(places: Subquery) -> Join:
    return InThisOrder(places, usage, usage.c.id.between(places.c.first, places.c.last))


def conditions_on(where: Sequence[Condition], span: Span) -> list[ColumnElement[bool]]:
    return [*on_calls(where), *within(usage.c.at, span)]


def _places(where: Sequence[Condition], span: Span, after: int) -> CompoundSelect[int, int]:
    """Runs of ids, ``first`` to ``last``, that have all such calls: blocks, and the tail."""
    first, last = first_block(span.first, after), last_block(span.last)
    rest = select(tail(), literal(LAST_ID, BigInteger))
    exact = exact_ones(where)
    if not exact:
        return union_all(select(first_id(first).label("first"), last_id(last).label("last")), rest)
    block = usage_blocks.c.block
    named = [is_named(block, condition) for condition in exact]
    blocks = select(first_id(block).label("first"), last_id(block).label("last")).where(
        block.between(first, last), *named
    )
    return union_all(blocks, rest)


def exact_ones(where: Sequence[Condition]) -> list[Condition]:
    """Those that ask for one value of what blocks name, in the order of how few blocks have it."""
    asked = {condition.column: condition for condition in where if not condition.several}
    return [asked[name] for name in ("key_id", "account_id", "model", "provider") if name in asked]


def is_named(block: ColumnElement[int], condition: Condition) -> ColumnElement[bool]:
    v = usage_block_values.alias().c
    return exists().where(v.dimension == condition.column, v.value == condition.value, v.block == block)


def tail() -> ColumnElement[int]:
    """The first id that is in no block yet."""
    return (mark(ROLLED) + 1).bitwise_and(-SIZE)


def first_id(block: ColumnElement[int]) -> ColumnElement[int]:
    return block.bitwise_lshift(BITS)


def last_id(block: ColumnElement[int]) -> ColumnElement[int]:
    return block.bitwise_lshift(BITS) + (SIZE - 1)


def first_block(since: float | None, after: int) -> ColumnElement[int]:
    """All before it were over by then; beyond the last one if all are."""
    if since is None:
        return literal(after >> BITS, BigInteger)
    b = usage_blocks.c
    found = select(b.block).where(b.until_at >= since).order_by(b.until_at, b.block).limit(1)
    return func.max(func.coalesce(found.scalar_subquery(), tail().bitwise_rshift(BITS)), after >> BITS)


def last_block(until: float | None) -> ColumnElement[int]:
    """All after it began later; -1 if all did. Mostly it is among the newest."""
    b = usage_blocks.c
    began = [] if until is None else [b.first_at + 0 < until]  # not by the index, which has all old ones first
    found = select(b.block).where(*began).order_by(b.block.desc()).limit(1)
    return func.coalesce(found.scalar_subquery(), -1)

"""What ``ledger check`` asks of the blocks that calls are found by: sums of single calls would lack what they hid."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Select, Subquery, Text, cast, func, literal, or_, select, union_all

from relayhub.store.schema import usage, usage_block_values, usage_blocks
from relayhub.store.usage_blocks import BITS, LOOKED_UP
from relayhub.store.usage_calls import tail


def times_differing() -> Select[str, float, float]:
    """Blocks with calls outside of their time."""
    made, said = _made(), usage_blocks.c
    astray = or_(said.block.is_(None), said.first_at != made.c.first_at, said.until_at < made.c.until_at)
    return (
        select(_subject(made.c.block), func.coalesce(said.until_at, 0.0), made.c.until_at)
        .select_from(made.outerjoin(usage_blocks, said.block == made.c.block))
        .where(astray)
    )


def times_returning() -> Select[str, float, float]:
    """Blocks that end before an earlier one does."""
    reached = func.max(usage_blocks.c.until_at).over(order_by=usage_blocks.c.block).label("reached")
    found = select(usage_blocks.c.block, usage_blocks.c.until_at, reached).subquery()
    return select(_subject(found.c.block), found.c.until_at, found.c.reached).where(found.c.until_at < found.c.reached)


def values_differing() -> Select[str, int, int]:
    """What is in a block and is not said of it, or the other way round."""
    v, block = usage_block_values.c, usage.c.id.bitwise_rshift(BITS).label("block")
    said = select(v.dimension, v.value, v.block, literal(1).label("said"), literal(0).label("made"))
    made = [
        select(literal(name, Text), usage.c[name], block, literal(0), literal(1)).where(usage.c.id < tail()).distinct()
        for name in LOOKED_UP
    ]
    both = union_all(said, *made).subquery()
    subject = both.c.dimension + " " + both.c.value + " in " + _subject(both.c.block)
    ours, theirs = func.sum(both.c.said), func.sum(both.c.made)
    return select(subject, ours, theirs).group_by(both.c.dimension, both.c.value, both.c.block).having(ours != theirs)


def _made() -> Subquery:
    block = usage.c.id.bitwise_rshift(BITS).label("block")
    first_at, last_at = func.min(usage.c.at).label("first_at"), func.max(usage.c.at).label("last_at")
    own = select(block, first_at, last_at).where(usage.c.id < tail()).group_by(block).subquery()
    until_at = func.max(own.c.last_at).over(order_by=own.c.block).label("until_at")
    return select(own.c.block, own.c.first_at, until_at).subquery()


def _subject(block: ColumnElement[int]) -> ColumnElement[str]:
    return literal("block ", Text) + cast(block, Text)

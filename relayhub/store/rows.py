"""How values become rows: the one place that knows the order of columns for the writer's plain SQL."""

from __future__ import annotations

from typing import TypeAlias

import orjson

from relayhub.store.schema import metadata
from relayhub.types.call import Outcome, UsageRecord
from relayhub.types.money import MAX_NANO
from relayhub.types.usage import Usage

Row: TypeAlias = "tuple[str | int | float | bytes | None, ...]"

_MAX_COUNT = 2**62
_OUTCOMES = {outcome: outcome.value for outcome in Outcome}
"""Looked up in half the time that it takes to ask a member for its value."""


def insert_into(table: str, *, without: tuple[str, ...] = ()) -> str:
    """An INSERT with a placeholder for each column, in the order of the schema."""
    names = [column.name for column in metadata.tables[table].columns if column.name not in without]
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"  # noqa: S608


def storable(text: str) -> str:
    """Clients and upstreams can send lone surrogates, which no database takes."""
    return text if text.isascii() else text.encode(errors="replace").decode()


def count(number: int) -> int:
    """Within what a column can hold; a row is never lost for an absurd number in it."""
    return number if 0 <= number <= _MAX_COUNT else min(max(number, 0), _MAX_COUNT)


def nano(amount: int) -> int:
    return min(max(amount, 0), MAX_NANO)


def _counts(usage: Usage) -> tuple[int, ...]:
    counts = (
        usage.input_tokens,
        usage.output_tokens,
        usage.cached_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens,
    )
    return counts if min(counts) >= 0 and max(counts) <= _MAX_COUNT else tuple(map(count, counts))


def usage_row(hold_id: str, record: UsageRecord) -> Row:
    usage = record.usage
    return (
        hold_id,
        record.call_id,
        record.at,
        record.account_id,
        record.key_id,
        record.operation,
        record.dialect,
        storable(record.model),
        record.provider,
        storable(record.upstream_model),
        record.stream,
        _OUTCOMES[record.outcome],
        record.measured,
        *_counts(usage),
        record.cost_nano,
        record.shortfall_nano,
        record.price,
        record.attempts,
        record.status,
        None if record.error_code is None else storable(record.error_code),
        None if record.user_identifier is None else storable(record.user_identifier),
        record.first_byte_ms,
        record.duration_ms,
        None if record.media is None else orjson.dumps(record.media).decode(),
        record.price_version or None,
        None if record.upstream_cost_nano is None else nano(record.upstream_cost_nano),
        None if record.on_disconnect is None else record.on_disconnect.value,
    )

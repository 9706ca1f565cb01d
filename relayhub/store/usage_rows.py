"""The usage rows of one transaction.

To bind a value that is not exactly a number or a text (a missing one, or a truth value) takes the driver ten times as long
as to bind a number. So truth values are written as numbers, and columns that are empty for most calls are left out of the
statement unless a row of the transaction fills them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from functools import cache
from typing import TypeAlias

import orjson
from msgspec.structs import astuple

from relayhub.store.many import insert_many
from relayhub.store.rows import MAX_COUNT, Row, count, insert_or_fail, nano, storable
from relayhub.types.call import Outcome, UsageRecord
from relayhub.types.usage import Usage

Ended: TypeAlias = "tuple[int, UsageRecord]"
"""The ledger row that ended a hold, and the account of its call."""

_OUTCOMES = {outcome: outcome.value for outcome in Outcome}
"""Looked up in half the time that it takes to ask a member for its value."""

_USUAL = (
    *(
        "id",
        "call_id",
        "at",
        "account_id",
        "key_id",
        "operation",
        "dialect",
        "model",
        "provider",
        "upstream_model",
    ),
    *("stream", "outcome", "measured", "input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens"),
    *("reasoning_tokens", "cost_nano", "shortfall_nano", "price", "attempts", "status", "first_byte_ms", "duration_ms"),
    "price_version",
)
"""In the order of :func:`_usual`."""

_ERROR, _USER, _UPSTREAM_COST, _RARE = 1, 2, 4, 8
_SELDOM: tuple[tuple[int, tuple[str, ...], Callable[[UsageRecord], Row]], ...] = (
    (_ERROR, ("error_code",), lambda record: (_text(record.error_code),)),
    (_USER, ("user_identifier",), lambda record: (_text(record.user_identifier),)),
    (_UPSTREAM_COST, ("upstream_cost_nano",), lambda record: (_nano(record.upstream_cost_nano),)),
    (_RARE, ("media", "on_disconnect"), lambda record: (_media(record), _word(record))),
)
"""What is filled seldom, or by few hubs; each of these groups is in a statement or is not."""


def insert_usage(connection: sqlite3.Connection, ended: Sequence[Ended]) -> None:
    filled, rows = 0, []
    for entry, record in ended:
        filled |= _filled(record)
        rows.append(_usual(entry, record))
    if filled:
        for group, _, values in _SELDOM:
            if filled & group:
                rows = [(*row, *values(record)) for row, (_, record) in zip(rows, ended, strict=True)]
    insert_many(connection, _statement(filled), rows)


@cache
def _statement(filled: int) -> str:
    return insert_or_fail(
        "usage", [*_USUAL, *(name for group, names, _ in _SELDOM if filled & group for name in names)]
    )


def _filled(record: UsageRecord) -> int:
    error = 0 if record.error_code is None else _ERROR
    user = 0 if record.user_identifier is None else _USER
    cost = 0 if record.upstream_cost_nano is None else _UPSTREAM_COST
    rare = 0 if record.media is None and record.on_disconnect is None else _RARE
    return error | user | cost | rare


def _usual(entry: int, record: UsageRecord) -> Row:
    model, sent_to = record.model, record.upstream_model
    return (
        entry,
        record.call_id,
        record.at,
        record.account_id,
        record.key_id,
        record.operation,
        record.dialect,
        model if model.isascii() else storable(model),
        record.provider,
        sent_to if sent_to.isascii() else storable(sent_to),
        1 if record.stream else 0,
        _OUTCOMES[record.outcome],
        1 if record.measured else 0,
        *_counts(record.usage),
        record.cost_nano,
        record.shortfall_nano,
        record.price,
        record.attempts,
        record.status,
        record.first_byte_ms,
        record.duration_ms,
        record.price_version or None,
    )


def _counts(usage: Usage) -> tuple[int, int, int, int, int]:
    taken, given, cached, written, thought = astuple(usage)
    if not 0 <= taken | given | cached | written | thought < MAX_COUNT:  # one of them at least is absurd, or nearly so
        return count(taken), count(given), count(cached), count(written), count(thought)
    return taken, given, cached, written, thought


def _text(text: str | None) -> str | None:
    return None if text is None else storable(text)


def _nano(amount: int | None) -> int | None:
    return None if amount is None else nano(amount)


def _media(record: UsageRecord) -> str | None:
    return None if record.media is None else orjson.dumps(record.media).decode()


def _word(record: UsageRecord) -> str | None:
    return None if record.on_disconnect is None else record.on_disconnect.value

"""The usage rows of one transaction.

To bind a value that is not exactly a number or a text (a missing one, or a truth value) takes the driver ten times as long
as to bind a number. So truth values are written as numbers, and columns that are empty for most calls are left out of the
statement unless a row of the transaction fills them. What is the same for most calls stands in the statement itself, unless
a row has something else there.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TypeAlias

import orjson

from relayhub.store.many import insert_many
from relayhub.store.rows import MAX_COUNT, Row, count, insert_or_fail, nano, storable
from relayhub.types.call import Outcome, UsageRecord

Ended: TypeAlias = "tuple[int, UsageRecord]"
"""The ledger row that ended a hold, and the account of its call."""

_COMPLETED, _ANSWERED = Outcome.COMPLETED, 200
"""How nearly all of them end."""

_USUAL = (
    *("id", "call_id", "at", "account_id", "key_id", "operation", "dialect", "model", "provider", "upstream_model"),
    *("stream", "input_tokens", "output_tokens", "cost_nano", "price", "first_byte_ms", "duration_ms", "price_version"),
)
"""In the order of :func:`_usual`."""

_ERROR, _USER, _UPSTREAM_COST, _RARE, _ENDED_OTHERWISE, _DETAILS = 1, 2, 4, 8, 16, 32
_SELDOM: tuple[tuple[int, Mapping[str, str], Callable[[UsageRecord], Row]], ...] = (
    (_ERROR, {"error_code": ""}, lambda record: (_text(record.error_code),)),
    (_USER, {"user_identifier": ""}, lambda record: (_text(record.user_identifier),)),
    (_UPSTREAM_COST, {"upstream_cost_nano": ""}, lambda record: (_nano(record.upstream_cost_nano),)),
    (_RARE, {"media": "", "on_disconnect": ""}, lambda record: (_media(record), _word(record))),
    (
        _ENDED_OTHERWISE,
        {
            "outcome": f"'{_COMPLETED}'",
            "measured": "1",
            "attempts": "1",
            "status": f"{_ANSWERED}",
            "shortfall_nano": "0",
        },
        lambda record: (
            record.outcome.value,
            1 if record.measured else 0,
            record.attempts,
            record.status,
            record.shortfall_nano,
        ),
    ),
    (
        _DETAILS,
        {"cached_tokens": "0", "cache_write_tokens": "0", "reasoning_tokens": "0"},
        lambda record: (
            count(record.usage.cached_tokens),
            count(record.usage.cache_write_tokens),
            count(record.usage.reasoning_tokens),
        ),
    ),
)
"""What is something else seldom, or for few hubs: columns, with what they are otherwise (empty: left out)."""


def insert_usage(cursor: sqlite3.Cursor, ended: Sequence[Ended]) -> None:
    filled, rows = 0, []
    for entry, record in ended:
        filled |= _filled(record)
        rows.append(_usual(entry, record))
    if filled:
        for group, _, values in _SELDOM:
            if filled & group:
                rows = [(*row, *values(record)) for row, (_, record) in zip(rows, ended, strict=True)]
    insert_many(cursor, _statement(filled), rows)


@cache
def _statement(filled: int) -> str:
    given = [*_USUAL, *(name for group, names, _ in _SELDOM if filled & group for name in names)]
    same = {name: value for group, names, _ in _SELDOM if not filled & group for name, value in names.items() if value}
    return insert_or_fail("usage", given, same)


def _filled(record: UsageRecord) -> int:
    usage, filled = record.usage, 0
    if (
        record.outcome is not _COMPLETED
        or record.status != _ANSWERED
        or record.attempts != 1
        or record.shortfall_nano
        or not record.measured
    ):
        filled = _ENDED_OTHERWISE
    if usage.cached_tokens or usage.reasoning_tokens or usage.cache_write_tokens:
        filled |= _DETAILS
    if record.error_code is not None:
        filled |= _ERROR
    if record.user_identifier is not None:
        filled |= _USER
    if record.upstream_cost_nano is not None:
        filled |= _UPSTREAM_COST
    if record.media is not None or record.on_disconnect is not None:
        filled |= _RARE
    return filled


def _usual(entry: int, record: UsageRecord) -> Row:
    model, sent_to, usage = record.model, record.upstream_model, record.usage
    given, made = usage.input_tokens, usage.output_tokens
    if not (0 <= given <= MAX_COUNT and 0 <= made <= MAX_COUNT):
        given, made = count(given), count(made)
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
        given,
        made,
        record.cost_nano,
        record.price,
        record.first_byte_ms,
        record.duration_ms,
        record.price_version or None,
    )


def _text(text: str | None) -> str | None:
    return None if text is None else storable(text)


def _nano(amount: int | None) -> int | None:
    return None if amount is None else nano(amount)


def _media(record: UsageRecord) -> str | None:
    return None if record.media is None else orjson.dumps(record.media).decode()


def _word(record: UsageRecord) -> str | None:
    return None if record.on_disconnect is None else record.on_disconnect.value

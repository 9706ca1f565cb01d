"""Adding up calls in SQL, single ones and roll-ups alike, so that it does not matter which of them was read.

Ids say what has been rolled up: a usage row has the id of the ledger row that ended its hold, and these only ever grow. All
calls that ended up to :data:`ROLLED` are in the roll-ups, however late they were written; no later one is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from sqlalchemy import (
    BigInteger,
    FromClause,
    Label,
    Select,
    Subquery,
    Text,
    case,
    cast,
    func,
    literal,
    literal_column,
    select,
)
from sqlalchemy.sql.elements import ColumnElement, KeyedColumnElement

from relayhub.store.schema import meta, usage, usage_rollups
from relayhub.store.usage_histogram import BOUNDS_MS, BUCKETS
from relayhub.store.usage_levels import DAY_S, Level, Span

ROLLED = "usage_rolled"
"""In ``meta``: the id of the last ledger row that was looked at."""

RAW_SINCE = "usage_raw_since"
"""In ``meta``, unix seconds, a midnight: rows of calls that ended before it may be gone."""

MEASURES = (
    "calls",
    "errors",
    "estimated",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "images",
    "characters",
    "audio_ms",
    "video_ms",
    "cost_nano",
    "shortfall_nano",
    "upstream_cost_nano",
    "duration_ms",
)
LATENCIES = tuple(f"latency_{bucket}" for bucket in range(BUCKETS))
SUMS = (*MEASURES, *LATENCIES)
"""What is added up, in the order of the columns."""

COST = "cost_nano"

Sums: TypeAlias = Select[*tuple[Any, ...]]

_MOST_COUNTED = 2**40
"""Of one thing in one call: an upstream that claims more cannot make a sum overflow."""
_MOST_NANO = 2**50
"""The same for money that nobody paid; what was charged is never cut."""
_COUNTED = MEASURES[3:8]
_MEDIA = MEASURES[8:12]


def mark(name: str) -> ColumnElement[int]:
    """0 before it is set."""
    return func.coalesce(select(meta.c.value).where(meta.c.name == name).scalar_subquery(), 0)


def ended(after: ColumnElement[int], up_to: ColumnElement[int] | None = None) -> Subquery:
    """Rows of ``usage`` by the ledger rows that ended their holds. The LIMIT keeps conditions on these rows outside, so that
    these ids are what they are looked up by."""
    end = [usage.c.id > after, *(() if up_to is None else (usage.c.id <= up_to,))]
    return select(usage).where(*end).limit(-1).subquery("ended")


def not_rolled() -> Subquery:
    return ended(mark(ROLLED))


def day_of(at: ColumnElement[float]) -> ColumnElement[int]:
    seconds = cast(at, BigInteger)
    return seconds - seconds % DAY_S


def user_of(rows: FromClause) -> ColumnElement[str]:
    return func.coalesce(rows.c.user_identifier, literal("", Text))


def within(column: ColumnElement[Any], span: Span) -> list[ColumnElement[bool]]:
    bounds = [] if span.first is None else [column >= span.first]
    return bounds if span.last is None else [*bounds, column < span.last]


def raw_sums(
    rows: FromClause,
    by: Sequence[KeyedColumnElement[Any]],
    where: Sequence[ColumnElement[bool]],
    source: FromClause | None = None,
) -> Sums:
    """``rows``: ``usage`` or some of it; ``source``: what they are found in, if it is more. ``by``: labelled. Added up by
    duration first: that is one look at each row, and its buckets become columns afterwards, of which there are few rows left.
    """
    bucket = literal_column(_BUCKET, BigInteger).label("bucket")
    inner = select(*by, bucket, *_measures(rows)).select_from(rows if source is None else source)
    inner = inner.where(*where).group_by(*by, literal_column("bucket"))
    found = inner.subquery("found")
    groups = [found.c[column.key] for column in by]
    return select(*groups, *_FOUND).group_by(*groups)


def summed(table: str, measures: Sequence[str] = SUMS) -> list[Label[int]]:
    """Of a table's or subquery's columns. Text, here and below: to build so many expressions takes longer than to add up
    thousands of rows."""
    return [literal_column(f"sum({table}.{name})", BigInteger).label(name) for name in measures]


def _bucket(first: int, last: int) -> str:
    """Which of these a row is in: six comparisons instead of up to as many as there are."""
    if first == last:
        return str(first)
    middle = (first + last) // 2
    lower, upper = _bucket(first, middle), _bucket(middle + 1, last)
    return f"CASE WHEN duration_ms <= {BOUNDS_MS[middle]} THEN {lower} ELSE {upper} END"


def _in_bucket(place: int) -> Label[int]:
    counted = f"sum(CASE WHEN found.bucket = {place} THEN found.calls ELSE 0 END)"
    return literal_column(counted, BigInteger).label(LATENCIES[place])


_BUCKET = _bucket(0, len(BOUNDS_MS))
_FOUND = (*summed("found", MEASURES), *map(_in_bucket, range(BUCKETS)))


def _measures(rows: FromClause) -> list[ColumnElement[int]]:
    c = rows.c
    sums = {
        "calls": func.count(),
        "errors": func.sum(case((c.error_code.is_not(None), 1), else_=0)),
        "estimated": func.sum(case((c.measured, 0), else_=1)),
        **{name: func.sum(func.min(c[name], _MOST_COUNTED)) for name in _COUNTED},
        **{name: func.sum(_of_media(c.media, name)) for name in _MEDIA},
        "cost_nano": func.sum(c.cost_nano),
        "shortfall_nano": func.sum(func.min(c.shortfall_nano, _MOST_NANO)),
        "upstream_cost_nano": func.sum(func.min(func.coalesce(c.upstream_cost_nano, 0), _MOST_NANO)),
        "duration_ms": func.sum(func.min(c.duration_ms, _MOST_COUNTED)),
    }
    return [sums[name].label(name) for name in MEASURES]


def _of_media(media: ColumnElement[Any], name: str) -> ColumnElement[int]:
    said = func.json_extract(media, f"$.{name}", type_=BigInteger)
    return case((media.is_(None), 0), else_=func.min(func.max(func.coalesce(said, 0), 0), _MOST_COUNTED))


def raw_cost(
    rows: FromClause, by: KeyedColumnElement[Any], where: Sequence[ColumnElement[bool]], source: FromClause
) -> Sums:
    return select(by, func.sum(rows.c.cost_nano).label(COST)).select_from(source).where(*where).group_by(by)


def rolled_sums(
    level: Level,
    span: Span,
    by: KeyedColumnElement[Any],
    where: Sequence[ColumnElement[bool]],
    measures: Sequence[str] = SUMS,
    *,
    of_user: bool = False,
) -> Sums:
    """``of_user``: ``where`` asks for one user, who has few of them; SQLite does not see that by itself."""
    c = usage_rollups.c
    chosen = [c.level == level.name, *within(c.start, span), *where]
    sums = select(by, *summed("usage_rollups", measures)).where(*chosen).group_by(by)
    if not of_user:
        return sums
    found = sums.where(c.user_identifier != literal_column("''"))  # in the words of the index
    return found.with_hint(usage_rollups, "INDEXED BY ix_usage_rollups_user_identifier", "sqlite")

"""Which roll-ups there are, and which of them answer a question.

The same calls are added up several times, by day and by month: all of them, by account, by key, by model with and without
the account, by the clients' own users, and by all of that. A question reads the smallest level that knows what it asks for:
months, then days for the rest, then single calls for what is not a whole day. Days and months are UTC's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

DAY_S = 86_400

DIMENSIONS = ("account_id", "key_id", "model", "provider", "operation", "outcome", "user_identifier")
"""What a roll-up can tell apart; a level that does not know one of them has ``''`` there, as has a call without a user."""

_USUAL = frozenset(DIMENSIONS) - {"user_identifier"}
_KINDS: dict[str, frozenset[str]] = {
    "all": frozenset(),
    "account": frozenset({"account_id"}),
    "hub": _USUAL - {"account_id", "key_id"},
    "key": frozenset({"account_id", "key_id"}),
    "client": frozenset({"account_id", "user_identifier"}),
    "model": _USUAL - {"key_id"},
    "usual": _USUAL,
    "user": frozenset(DIMENSIONS),
}
"""Of them, the first that knows enough is the smallest: there are few accounts, keys and models, but many of one's calls with
the other, and any number of users."""


@dataclass(frozen=True, slots=True)
class Level:
    """``name`` is in the database. ``monthly``: or by day."""

    name: str
    knows: frozenset[str]
    monthly: bool


LEVELS = tuple(
    Level(f"{kind}_{'month' if monthly else 'day'}", knows, monthly)
    for kind, knows in _KINDS.items()
    for monthly in (False, True)
)
DAYS = next(level for level in LEVELS if level.name == "usual_day")


@dataclass(frozen=True, slots=True)
class Span:
    """From ``first`` (inclusive) to ``last`` (exclusive), unix seconds; ``None``: without an end."""

    first: float | None
    last: float | None

    @property
    def empty(self) -> bool:
        return self.first is not None and self.last is not None and self.first >= self.last


ANY_TIME = Span(None, None)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is read for a question about ``span``: roll-ups for the ``whole`` days, of which ``rolled`` says the level, and
    single calls for the ``edges``. ``span`` is wider than what was asked where single calls are not kept any more."""

    span: Span
    whole: Span | None
    rolled: tuple[tuple[Level, Span], ...]
    edges: tuple[Span, ...]


def plan(asked: Span, needed: frozenset[str], *, by_day: bool, raw_since: float) -> Plan:
    """``needed``: dimensions that are filtered or grouped by. ``by_day``: months are of no use. ``raw_since``: midnight; of
    days before it there may be roll-ups only."""
    if asked.empty:
        return Plan(asked, None, (), (asked,))
    span = _widened(asked, raw_since)
    whole = Span(_or_none(span.first, ceil_day), _or_none(span.last, floor_day))
    if whole.empty:
        return Plan(span, None, (), (span,))
    return Plan(span, whole, tuple(_levels(whole, needed, by_day=by_day)), tuple(_around(span, whole)))


def _widened(asked: Span, raw_since: float) -> Span:
    first, last = asked.first, asked.last
    return Span(
        floor_day(first) if first is not None and first < raw_since else first,
        ceil_day(last) if last is not None and last < raw_since else last,
    )


def _levels(whole: Span, needed: frozenset[str], *, by_day: bool) -> Iterator[tuple[Level, Span]]:
    daily = _smallest(needed, monthly=False)
    months = Span(_or_none(whole.first, ceil_month), _or_none(whole.last, floor_month))
    if by_day or months.empty:
        yield daily, whole
        return
    yield _smallest(needed, monthly=True), months
    for rest in _around(whole, months):
        yield daily, rest


def _smallest(needed: frozenset[str], *, monthly: bool) -> Level:
    return next(level for level in LEVELS if level.monthly is monthly and needed <= level.knows)


def _around(outer: Span, inner: Span) -> Iterator[Span]:
    """What of ``outer`` lies before and after ``inner``, which is in it."""
    for part in (Span(outer.first, inner.first), Span(inner.last, outer.last)):
        if part.first is not None and part.last is not None and not part.empty:
            yield part


def _or_none(at: float | None, rounded: Callable[[float], int]) -> float | None:
    return None if at is None else rounded(at)


def floor_day(at: float) -> int:
    return int(at // DAY_S) * DAY_S


def ceil_day(at: float) -> int:
    return -int(-at // DAY_S) * DAY_S


def floor_month(at: float) -> int:
    first = datetime.fromtimestamp(at, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return int(first.timestamp())


def ceil_month(at: float) -> int:
    first = floor_month(at)
    return first if first == at else floor_month(first + 32 * DAY_S)

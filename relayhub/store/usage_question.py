"""A question about usage as SQL: what its plan says is read, added up, and named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import FromClause, Text, func, literal, null, select, true, union_all
from sqlalchemy.sql.elements import ColumnElement, KeyedColumnElement

from relayhub.store.schema import accounts, keys, usage, usage_rollups
from relayhub.store.usage_calls import calls
from relayhub.store.usage_filter import Condition, UsageFilter, among
from relayhub.store.usage_levels import Plan, Span, plan
from relayhub.store.usage_sums import (
    COST,
    SUMS,
    Sums,
    day_of,
    not_rolled,
    raw_cost,
    raw_sums,
    rolled_sums,
    summed,
    user_of,
    within,
)

_DIMENSION = {"key": "key_id", "tag": "key_id", "account": "account_id", "user": "user_identifier"}

_OWNERS = {"key": keys, "account": accounts}


@dataclass(frozen=True, slots=True)
class Question:
    """``where``: conditions on ``usage``, which hold for its subqueries and the roll-ups in the same way."""

    wanted: UsageFilter
    group: str
    where: Sequence[Condition]
    raw_since: float

    @property
    def dimension(self) -> str:
        return _DIMENSION.get(self.group, self.group)

    @property
    def span(self) -> Span:
        return self.plan(grouped=False).span

    def plan(self, *, grouped: bool) -> Plan:
        """``grouped``: for the sums of each group, not of all."""
        by_day = grouped and self.group == "day"
        needed = self.wanted.needs | ({self.dimension} if grouped and not by_day else frozenset())
        asked = Span(self.wanted.since, self.wanted.until)
        return plan(asked, needed, by_day=by_day, raw_since=self.raw_since)

    def among(self, places: Sequence[str]) -> Question:
        """The same about these groups alone."""
        return replace(self, where=[*self.where, among(self.dimension, places)])


def _parts(question: Question, *, grouped: bool, measures: Sequence[str] = SUMS) -> Sums:
    """All that the plan names, each added up by group, together: a column ``place`` and the sums. ``measures``: all of them,
    or the cost alone."""
    chosen, where = question.plan(grouped=grouped), question.where
    rolled_by = _by(question, usage_rollups, grouped=grouped)
    applied = [condition.on(usage_rollups) for condition in where]
    of_user = bool(question.wanted.user)
    parts = [rolled_sums(level, span, rolled_by, applied, measures, of_user=of_user) for level, span in chosen.rolled]
    single: list[tuple[FromClause, FromClause, list[ColumnElement[bool]]]] = [
        (usage, *calls(where, edge)) for edge in chosen.edges
    ]
    if chosen.whole is not None:
        rest = not_rolled()
        single.append((rest, rest, [*(condition.on(rest) for condition in where), *within(rest.c.at, chosen.whole)]))
    for rows, source, conditions in single:
        by = _by(question, rows, grouped=grouped)
        alone = measures != SUMS
        parts.append(raw_cost(rows, by, conditions, source) if alone else raw_sums(rows, [by], conditions, source))
    whole = union_all(*parts).subquery("whole")
    return select(whole.c.place, *summed("whole", measures)).group_by(whole.c.place)


def _by(question: Question, rows: FromClause, *, grouped: bool) -> KeyedColumnElement[Any]:
    if not grouped:
        return literal("", Text).label("place")
    if question.group == "day":
        return (rows.c.start if rows is usage_rollups else day_of(rows.c.at)).label("place")
    return (user_of(rows) if question.group == "user" else rows.c[question.dimension]).label("place")


def in_all(question: Question) -> Sums:
    """One row, also without any call."""
    found = _parts(question, grouped=False).subquery()
    return select(*(func.coalesce(func.sum(found.c[name]), 0).label(name) for name in SUMS))


def dearest(question: Question, most: int) -> Sums:
    """``place``, by which groups are told apart, of the first groups of :func:`by_group`: their costs alone are soon added
    up, however many groups there are."""
    found = _parts(question, grouped=True, measures=(COST,)).subquery()
    cost, place = found.c[COST].desc(), found.c.place
    if question.group not in _OWNERS:
        return select(place).order_by(cost, func.nullif(place, "")).limit(most)
    owners = _OWNERS[question.group]
    named = select(place).select_from(found.join(owners, owners.c.id == place))
    return named.order_by(cost, owners.c.name, place).limit(most)


def by_group(question: Question, most: int) -> Sums:
    """``name``, ``id`` and the sums of each group."""
    found = _parts(question, grouped=True).subquery()
    sums = [found.c[name] for name in SUMS]
    match question.group:
        case "key" | "account":
            owners = _OWNERS[question.group]
            named = select(owners.c.name.label("name"), found.c.place.label("id"), *sums)
            named = named.select_from(found.join(owners, owners.c.id == found.c.place))
        case "tag":
            named = _by_tag(found)
        case "day":
            named = select(found.c.place.label("name"), null().label("id"), *sums).order_by(found.c.place)
        case _:
            named = select(func.nullif(found.c.place, "").label("name"), null().label("id"), *sums)
    groups = named.subquery()
    order = [groups.c.name] if question.group == "day" else [groups.c.cost_nano.desc(), groups.c.name, groups.c.id]
    return select(groups).order_by(*order).limit(most)


def _by_tag(found: FromClause) -> Sums:
    tags = func.json_each(func.coalesce(keys.c.tags, "[null]")).table_valued("value")
    sums = [func.sum(found.c[name]).label(name) for name in SUMS]
    return (
        select(tags.c.value.label("name"), null().label("id"), *sums)
        .select_from(found.join(keys, keys.c.id == found.c.place))
        .join(tags, true())
        .group_by(tags.c.value)
    )

"""A question about usage as SQL: what its plan says is read, added up, and named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import FromClause, Text, func, literal, null, select, true, union_all
from sqlalchemy.sql.elements import KeyedColumnElement

from relayhub.store.schema import accounts, keys, usage, usage_rollups
from relayhub.store.usage_filter import Condition, UsageFilter
from relayhub.store.usage_levels import Plan, Span, plan
from relayhub.store.usage_sums import SUMS, Sums, day_of, not_rolled, raw_sums, rolled_sums, user_of, within

_DIMENSION = {"key": "key_id", "tag": "key_id", "account": "account_id", "user": "user_identifier"}


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
    def plan(self) -> Plan:
        by_day = self.group == "day"
        needed = self.wanted.needs | (frozenset() if by_day else {self.dimension})
        asked = Span(self.wanted.since, self.wanted.until)
        return plan(asked, needed, by_day=by_day, raw_since=self.raw_since)


def _parts(question: Question, *, grouped: bool) -> Sums:
    """All that the plan names, each added up by group, together: a column ``place`` and the sums."""
    chosen, where = question.plan, question.where
    rolled_by = _by(question, usage_rollups, grouped=grouped)
    applied = [condition.on(usage_rollups) for condition in where]
    parts = [rolled_sums(level, span, rolled_by, applied) for level, span in chosen.rolled]
    spans: list[tuple[FromClause, Span]] = [(usage, edge) for edge in chosen.edges]
    if chosen.whole is not None:
        spans.append((not_rolled(), chosen.whole))
    for rows, span in spans:
        conditions = [*(condition.on(rows) for condition in where), *within(rows.c.at, span)]
        parts.append(raw_sums(rows, [_by(question, rows, grouped=grouped)], conditions))
    whole = union_all(*parts).subquery()
    return select(whole.c.place, *(func.sum(whole.c[name]).label(name) for name in SUMS)).group_by(whole.c.place)


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


def by_group(question: Question, most: int) -> Sums:
    """``name``, ``id`` and the sums of each group."""
    found = _parts(question, grouped=True).subquery()
    sums = [found.c[name] for name in SUMS]
    match question.group:
        case "key" | "account":
            owners = keys if question.group == "key" else accounts
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

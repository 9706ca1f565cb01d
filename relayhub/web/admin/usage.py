"""What was used: single calls, and what they add up to."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field, JsonValue

from relayhub.accounts.usage_sheet import csv_text
from relayhub.store.usage import UsageFilter, UsageSum, cursor_of
from relayhub.types.call import Outcome
from relayhub.types.json import JsonObject
from relayhub.web.admin.endpoint import EVERYBODY, AnyEndpoint, Asked, Endpoint
from relayhub.web.admin.shapes import MOST, Input, Moment, Output, Page, moment_or_none, page, seconds


class _UsageFilter(Input):
    """Names are exact; ``since`` inclusive, ``until`` exclusive."""

    since: Moment | None = None
    until: Moment | None = None
    account: str | None = Field(None, max_length=200)
    key: str | None = Field(None, max_length=200)
    tag: str | None = Field(None, max_length=100, description="One that the key has now.")
    model: str | None = Field(None, max_length=200)
    provider: str | None = Field(None, max_length=200)
    operation: str | None = Field(None, max_length=50)
    outcome: Outcome | None = None
    user: str | None = Field(None, max_length=300, description="The `user_identifier` of the calls.")
    limit: int = Field(100, ge=1, le=MOST)
    format: Literal["json", "csv"] = "json"


class UsageQuery(_UsageFilter):
    after: str | None = Field(None, max_length=100, description="The `next` of the page before.")


class TotalsQuery(_UsageFilter):
    by: Literal["key", "account", "model", "provider", "operation", "outcome", "user", "tag", "day"] = "model"


class UsageRow(Output):
    call_id: str
    at: datetime
    account: str
    key: str
    operation: str
    dialect: str
    model: str
    provider: str
    upstream_model: str
    stream: bool
    outcome: str
    measured: bool
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    media: dict[str, JsonValue] | None
    cost_nano: int
    shortfall_nano: int
    upstream_cost_nano: int | None
    price: str
    price_version: str | None
    attempts: int
    status: int | None
    error_code: str | None
    user_identifier: str | None
    first_byte_ms: int | None
    duration_ms: int
    on_disconnect: str | None = Field(description="What was done when the client left; `null`: it did not.")


class UsageSums(Output):
    """``errors``: calls with an error code; ``estimated``: calls whose counts are an estimate; ``cost_nano``: nano-USD, which
    ``cost`` is in units, rounded up; ``upstream_cost_nano``: as far as it is known, and for staff only; ``duration_ms``: all
    together. Percentiles are read from a histogram with steps of about
    26 %."""

    calls: int
    errors: int
    estimated: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    images: int
    characters: int
    audio_ms: int
    video_ms: int
    cost: int
    cost_nano: int
    shortfall_nano: int
    upstream_cost_nano: int | None
    duration_ms: int
    latency_p50_ms: int | None
    latency_p95_ms: int | None
    latency_p99_ms: int | None


class UsageTotal(UsageSums):
    """``group``: ``null`` for calls without a user, or keys without a tag; ``id``: of a key or an account."""

    group: str | None
    id: str | None


class UsageTotals(Output):
    """``since``, ``until``: what was added up, which is whole days (UTC) where single calls are not kept any more. ``total``:
    of all calls, also those of groups beyond the limit. ``items``: dearest first, days in their order. A call of a key with
    several tags is in each of them."""

    since: datetime | None
    until: datetime | None
    total: UsageSums
    items: tuple[UsageTotal, ...]
    next: None = None


def _usage_filter(given: _UsageFilter, within: str | None) -> UsageFilter:
    return UsageFilter(
        since=seconds(given.since),
        until=seconds(given.until),
        account=given.account,
        key=given.key,
        tag=given.tag,
        model=given.model,
        provider=given.provider,
        operation=given.operation,
        outcome=given.outcome,
        user=given.user,
        account_id=within,
    )


async def list_usage(asked: Asked[UsageQuery]) -> Page[UsageRow]:
    given = asked.given
    wanted = _usage_filter(given, asked.who.within)
    found = await asked.context.store.usage.rows(wanted, given.limit + 1, given.after)
    staff = asked.who.within is None
    return page(found, given.limit, lambda row: _usage_row(row, staff=staff), cursor_of)


def _usage_row(row: JsonObject, *, staff: bool) -> UsageRow:
    shown = UsageRow.model_validate({name: row[name] for name in UsageRow.model_fields})
    return shown if staff else shown.model_copy(update={"upstream_cost_nano": None})


async def total_usage(asked: Asked[TotalsQuery]) -> UsageTotals:
    given = asked.given
    wanted = _usage_filter(given, asked.who.within)
    found = await asked.context.store.usage.totals(wanted, given.by, given.limit)
    return UsageTotals(
        since=moment_or_none(found.span.first),
        until=moment_or_none(found.span.last),
        total=UsageSums.model_validate(_sums(asked, found.total)),
        items=tuple(UsageTotal(group=group.name, id=group.id, **_sums(asked, group.sum)) for group in found.groups),
    )


def _sums(asked: Asked[TotalsQuery], found: UsageSum) -> dict[str, Any]:
    shown: dict[str, Any] = {**found.shown(), "cost": asked.context.spent_units(found.cost_nano)}
    return shown if asked.who.within is None else {**shown, "upstream_cost_nano": None}


def _rows_csv(found: Page[UsageRow]) -> str:
    return csv_text(list(UsageRow.model_fields), (row.model_dump(mode="json") for row in found.items))


def _totals_csv(found: UsageTotals) -> str:
    columns = ["group", "id", *UsageSums.model_fields]
    return csv_text(columns, (row.model_dump(mode="json") for row in found.items))


ENDPOINTS: tuple[AnyEndpoint, ...] = (
    Endpoint(
        "GET",
        "/usage",
        "Calls, newest first",
        EVERYBODY,
        UsageQuery,
        Page[UsageRow],
        list_usage,
        csv=_rows_csv,
        twin="usage",
    ),
    Endpoint(
        "GET",
        "/usage/totals",
        "Calls added up",
        EVERYBODY,
        TotalsQuery,
        UsageTotals,
        total_usage,
        csv=_totals_csv,
        twin="usage",
    ),
)

"""``/api/user/usage``: what a relay key may see of what was used. That is its whole account's; a key with a limit of its own,
which sees its own quota, sees its own calls."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal, TypeVar

import orjson
from aiohttp import web
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from relayhub.accounts.usage_sheet import csv_text
from relayhub.store.usage import UsageFilter, cursor_of
from relayhub.store.usage_totals import UsageSum
from relayhub.types.errors import ClientError, invalid_request
from relayhub.types.json import Json, JsonObject
from relayhub.types.money import units_rounded_up
from relayhub.web.context import CONTEXT
from relayhub.web.credentials import QUERY as CREDENTIAL
from relayhub.web.csv_response import csv_response
from relayhub.web.ingress.serving import authenticate, json_response

MOST = 1000

CALL_FIELDS = (
    "call_id",
    "at",
    "key",
    "operation",
    "model",
    "provider",
    "stream",
    "outcome",
    "measured",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "media",
    "status",
    "error_code",
    "user_identifier",
    "first_byte_ms",
    "duration_ms",
)
_INTERNAL = frozenset({"cost_nano", "shortfall_nano", "upstream_cost_nano"})
"""Of totals: clients see units, and not what the operator pays."""


class _Query(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    model: str | None = Field(None, max_length=200)
    provider: str | None = Field(None, max_length=200)
    key_name: str | None = Field(None, max_length=200)
    tag: str | None = Field(None, max_length=100)
    user_identifier: str | None = Field(None, max_length=300)
    limit: int = Field(100, ge=1, le=MOST)
    format: Literal["json", "csv"] = "json"


class OwnTotalsQuery(_Query):
    by: Literal["model", "provider", "operation", "outcome", "key", "tag", "user", "day"] = "model"


class OwnCallsQuery(_Query):
    after: str | None = Field(None, max_length=100)


Q = TypeVar("Q", bound=_Query)


async def totals(request: web.Request, nano_per_unit: int) -> web.Response:
    """``GET /api/user/usage``."""
    given, wanted = await _asked(request, OwnTotalsQuery)
    found = await request.app[CONTEXT].store.usage.totals(wanted, given.by, given.limit)
    items: list[Json] = [{"group": group.name, **_sums(group.sum, nano_per_unit)} for group in found.groups]
    total = _sums(found.total, nano_per_unit)
    if given.format == "csv":
        rows = [item for item in items if isinstance(item, dict)]
        return csv_response(request, csv_text(["group", *total], rows), None)
    span: JsonObject = {"since": _moment(found.span.first), "until": _moment(found.span.last)}
    scope = "account" if wanted.key_id is None else "key"
    return _answer(request, {**span, "scope": scope, "by": given.by, "total": total, "items": items})


async def calls(request: web.Request, nano_per_unit: int) -> web.Response:
    """``GET /api/user/usage/calls``: newest first, in pages."""
    given, wanted = await _asked(request, OwnCallsQuery)
    found = await request.app[CONTEXT].store.usage.rows(wanted, given.limit + 1, given.after)
    shown = found[: given.limit]
    following = cursor_of(shown[-1]) if len(found) > given.limit else None
    items = [_call(row, nano_per_unit) for row in shown]
    if given.format == "csv":
        return csv_response(request, csv_text([*map(_camel, CALL_FIELDS), "usedQuota"], items), following)
    return _answer(request, {"items": [*items], "next": following})


async def _asked(request: web.Request, takes: type[Q]) -> tuple[Q, UsageFilter]:
    principal = authenticate(request)
    given = _read(request, takes)
    key = await request.app[CONTEXT].store.keys.get(principal.key_id)
    wanted = UsageFilter(
        since=None if given.since is None else given.since.timestamp(),
        until=None if given.until is None else given.until.timestamp(),
        key=given.key_name,
        tag=given.tag,
        model=given.model,
        provider=given.provider,
        user=given.user_identifier,
        account_id=principal.account_id,
        key_id=None if key.limit_nano is None else principal.key_id,
    )
    return given, wanted


def _read(request: web.Request, takes: type[Q]) -> Q:
    """A credential may be in the query, too. Raises ``ClientError``."""
    query = {name: request.query.getall(name) for name in request.query if name != CREDENTIAL}
    twice = [name for name, values in query.items() if len(values) > 1]
    if twice:
        raise invalid_request("A query parameter stands here twice.", code="duplicate_parameter", param=twice[0][:100])
    try:
        return takes.model_validate_strings({name: values[0] for name, values in query.items()})
    except ValidationError as error:
        raise _refused(error) from None


def _refused(error: ValidationError) -> ClientError:
    detail = error.errors(include_url=False, include_context=False, include_input=False)[0]
    name = ".".join(str(part) for part in detail["loc"])[:100]
    what = "there is no such parameter" if detail["type"] == "extra_forbidden" else detail["msg"][:200]
    return invalid_request(f"The query is not valid: {name}: {what}.", code="invalid_value", param=name)


def _sums(found: UsageSum, nano_per_unit: int) -> JsonObject:
    shown: Mapping[str, Json] = {name: value for name, value in found.shown().items() if name not in _INTERNAL}
    camel: JsonObject = {_camel(name): value for name, value in shown.items()}
    return {**camel, "usedQuota": units_rounded_up(found.cost_nano, nano_per_unit)}


def _call(row: JsonObject, nano_per_unit: int) -> JsonObject:
    at, cost = row["at"], row["cost_nano"]
    assert isinstance(at, float)
    assert isinstance(cost, int)
    fields: JsonObject = {_camel(name): row[name] for name in CALL_FIELDS}
    return {**fields, "at": _moment(at), "usedQuota": units_rounded_up(cost, nano_per_unit)}


def _camel(name: str) -> str:
    """As the other answers of ``/api/user`` spell their fields."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _moment(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def _answer(request: web.Request, data: JsonObject) -> web.Response:
    return json_response(request, orjson.dumps({"success": True, "data": data}))

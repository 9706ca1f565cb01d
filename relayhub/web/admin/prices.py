"""What is charged. It is read here and changed in the config's YAML, which alone decides."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field, JsonValue

from relayhub.accounts.price_list import ListedPrice, price_list
from relayhub.web.admin.endpoint import EVERYBODY, AnyEndpoint, Asked, Endpoint
from relayhub.web.admin.shapes import Input, Output, Page, moment_or_none


class PricesQuery(Input):
    provider: str | None = Field(None, max_length=200)
    model: str | None = Field(None, max_length=200, description="Its name or an alias.")
    every: bool = Field(False, description="Past and coming prices too, not only those in force.")


class PriceShown(Output):
    """``since``, ``until``: ``null``: ever since, for good. ``version``: as usage rows name it; ``null`` for what is free."""

    provider: str
    model: str
    upstream: str
    since: datetime | None
    until: datetime | None
    in_force: bool
    formula: str = Field(examples=["input 0.15 + output 0.6 USD/1M tokens"])
    version: str | None
    currency: str
    amounts: dict[str, JsonValue] | None = Field(description="As the config says them; `null`: free.")
    upstream_formula: str | None = Field(
        description="What the upstream charges, where the config says it. For staff only."
    )


async def list_prices(asked: Asked[PricesQuery]) -> Page[PriceShown]:
    """A user is shown what every client may know: the prices of public models."""
    given, context, staff = asked.given, asked.context, asked.who.within is None
    now = context.clock.now()
    found = price_list(context.config, now, provider=given.provider, model=given.model, every=given.every)
    return Page(items=tuple(_shown(price, staff=staff) for price in found if staff or price.public), next=None)


def _shown(price: ListedPrice, *, staff: bool) -> PriceShown:
    return PriceShown(
        provider=price.provider,
        model=price.model,
        upstream=price.upstream,
        since=moment_or_none(price.since),
        until=moment_or_none(price.until),
        in_force=price.in_force,
        formula=price.formula,
        version=price.version,
        currency=price.currency,
        amounts=None if price.amounts is None else dict(price.amounts),
        upstream_formula=price.upstream_formula if staff else None,
    )


ENDPOINTS: tuple[AnyEndpoint, ...] = (
    Endpoint(
        "GET",
        "/prices",
        "What is charged, by model and date",
        EVERYBODY,
        PricesQuery,
        Page[PriceShown],
        list_prices,
        twin="prices list",
    ),
)

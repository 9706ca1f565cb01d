"""What is charged for which model, as a list for people. It is read from the config, which alone decides."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from relayhub.accounts.price_book import tariff_of
from relayhub.accounts.pricing import Price
from relayhub.accounts.tariff import SINCE_EVER
from relayhub.config import Config, Model
from relayhub.types.json import JsonObject


@dataclass(frozen=True, slots=True)
class ListedPrice:
    """One price of one model of one provider. ``since``, ``until``: unix seconds, ``None``: ever since, for good.
    ``version``: as usage rows name it, ``None`` for what is free. ``amounts``: as the config says them; ``None``: free.
    ``upstream_formula``: what the upstream charges, where the config says it."""

    provider: str
    model: str
    upstream: str
    public: bool
    since: float | None
    until: float | None
    in_force: bool
    formula: str
    version: str | None
    currency: str
    amounts: JsonObject | None
    upstream_formula: str | None


def price_list(
    config: Config, now: float, *, provider: str | None = None, model: str | None = None, every: bool = False
) -> list[ListedPrice]:
    """In the order of the config, by date. ``every``: past and coming ones too, not only those in force."""
    return [
        price
        for name, entry in config.providers.items()
        if provider in (None, name)
        for one in entry.models
        if model is None or model == one.name or model in one.settings.aliases
        for price in _prices(config, name, one, now)
        if every or price.in_force
    ]


def _prices(config: Config, provider: str, model: Model, now: float) -> Iterator[ListedPrice]:
    dated = tariff_of(model, config.currencies).prices
    ends = [since for since, _ in dated[1:]] + [None]
    for (since, price), until in zip(dated, ends, strict=True):
        yield ListedPrice(
            provider=provider,
            model=model.name,
            upstream=model.upstream,
            public=model.settings.public,
            since=None if since == SINCE_EVER else since,
            until=until,
            in_force=since <= now and (until is None or now < until),
            formula=price.describe(),
            version=price.version or None,
            currency=price.currency,
            amounts=_amounts(model, since),
            upstream_formula=_described(price.upstream),
        )


def _amounts(model: Model, since: float) -> JsonObject | None:
    said = model.price_at(since)
    return None if said is None else said.in_usd()


def _described(price: Price | None) -> str | None:
    return None if price is None else price.describe()

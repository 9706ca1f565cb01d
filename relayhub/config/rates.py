"""Prices in other currencies: each needs a fixed rate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from relayhub.config.model import Model, ProviderConfig
from relayhub.config.problems import Problem

USD = "USD"


def without_rate(providers: Mapping[str, ProviderConfig | None], rates: Mapping[str, int]) -> Iterator[Problem]:
    """``providers``: ``None`` for one that is wrong anyway."""
    for name, provider in providers.items():
        for model in provider.models if provider is not None else ():
            for currency in sorted(_named(model) - {USD, *rates}):
                path = f"providers.{name}.models.{model.name}.price"
                hint = f'Say what one is worth in USD, at the top level: currencies: {{{currency}: "0.14"}}.'
                yield Problem(model.spot, path, f"there is no rate for the currency {currency}", hint)


def _named(model: Model) -> set[str]:
    return {price.currency for price in (*model.prices, *model.costs)}

"""From the config's prices to what is charged."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping

from relayhub.accounts.pricing import Price
from relayhub.accounts.tariff import SINCE_EVER, Tariff
from relayhub.accounts.tiers import tiers_of
from relayhub.config import Model, PriceConfig
from relayhub.types.money import NANO_PER_USD

_FREE = Tariff(((SINCE_EVER, Price()),))
_VERSION_DIGITS = 8


def tariff_of(model: Model, currencies: Mapping[str, int]) -> Tariff:
    """The model's prices over time, a free one's too, with what the upstream charges. ``currencies``: nano-USD in one
    unit of each."""
    prices = _tariff(model.prices, currencies) if model.prices else _FREE
    return prices.beside(_tariff(model.costs, currencies))


def _tariff(prices: Iterable[PriceConfig], currencies: Mapping[str, int]) -> Tariff:
    return Tariff.of(
        (SINCE_EVER if price.from_ is None else price.from_, _price(price, currencies)) for price in prices
    )


def _price(price: PriceConfig, currencies: Mapping[str, int]) -> Price:
    rate = currencies.get(price.currency, NANO_PER_USD)
    return Price(
        input=price.input,
        output=price.output,
        cached_input=price.cached_input,
        cache_write=price.cache_write,
        reasoning=price.reasoning,
        call=price.call,
        video=tiers_of(price.video),
        image=tiers_of(price.image),
        characters=price.characters,
        audio_second=price.audio_second,
        currency=price.currency,
        rate_nano=rate,
        version=_version(price, rate),
    )


def _version(price: PriceConfig, rate_nano: int) -> str:
    """``2026-07-01#1f0c9d3a``: from when on, and a fingerprint of everything that decides what is charged."""
    said = json.dumps([price.in_usd(), rate_nano], sort_keys=True)
    fingerprint = hashlib.sha256(said.encode()).hexdigest()[:_VERSION_DIGITS]
    return fingerprint if price.since is None else f"{price.since}#{fingerprint}"

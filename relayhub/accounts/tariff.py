"""A model's prices over time: the one in force when a call is admitted counts, whatever comes while it runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from relayhub.accounts.pricing import Price

SINCE_EVER = float("-inf")


@dataclass(frozen=True, slots=True)
class Tariff:
    """``prices``: each with the unix time from which it is in force, in ascending order."""

    prices: tuple[tuple[float, Price], ...]

    @classmethod
    def of(cls, prices: Iterable[tuple[float, Price]]) -> Tariff:
        return cls(tuple(sorted(prices, key=lambda dated: dated[0])))

    def at(self, now: float) -> Price | None:
        """``None`` before the first one."""
        return next((price for since, price in reversed(self.prices) if since <= now), None)

    def beside(self, upstream: Tariff) -> Tariff:
        """These prices, each with what the upstream charges at the time."""
        if not self.prices or not upstream.prices:
            return self
        moments = {since for since, _ in (*self.prices, *upstream.prices)}
        both = ((since, self.at(since), upstream.at(since)) for since in moments)
        return Tariff.of((since, replace(price, upstream=cost)) for since, price, cost in both if price is not None)

"""How many further attempts there may be: a share of the calls, and a few each second, for each provider."""

from __future__ import annotations

from dataclasses import dataclass

from relayhub.sdk.clock import Clock

BURST_S = 1.0
"""Seconds of ``per_s`` that can be saved up."""

BURST_CALLS = 50
"""Calls whose share can be saved up."""


@dataclass(frozen=True, slots=True)
class BudgetTerms:
    """At each provider: attempts ≤ (1 + ``share``) × calls + ``per_s`` × seconds."""

    share: float = 0.2
    per_s: float = 3.0


@dataclass(slots=True)
class _Purse:
    shares: float
    """Of calls."""
    seconds: float
    at: float
    """Monotonic."""


class RetryBudget:
    """An attempt counts at the provider that it goes to. Use on one loop."""

    def __init__(self, clock: Clock, terms: BudgetTerms | None = None) -> None:
        self._clock = clock
        self._terms = terms or BudgetTerms()
        self._most_shares = self._terms.share * BURST_CALLS
        self._purses: dict[str, _Purse] = {}

    def renewed(self, terms: BudgetTerms) -> RetryBudget:
        """The same purses under other terms."""
        budget = RetryBudget(self._clock, terms)
        budget._purses = self._purses
        return budget

    def called(self, provider: str) -> None:
        """A call's first attempt went there."""
        purse = self._purses.get(provider)
        if purse is None:
            purse = self._purse(provider)
        most = self._most_shares
        if purse.shares != most:  # as it mostly is
            shares = purse.shares + self._terms.share
            purse.shares = shares if shares < most else most

    def take(self, provider: str) -> bool:
        """Whether there may be one further attempt there; if so, it is paid for."""
        purse = self._purse(provider)
        if purse.seconds >= 1.0:
            purse.seconds -= 1.0
        elif purse.shares >= 1.0:
            purse.shares -= 1.0
        else:
            return False
        return True

    def left(self, provider: str) -> float:
        purse = self._purse(provider)
        return purse.seconds + purse.shares

    def _purse(self, provider: str) -> _Purse:
        now, most = self._clock.monotonic(), self._most()
        purse = self._purses.get(provider)
        if purse is None:
            purse = self._purses[provider] = _Purse(0.0, most, now)
        purse.seconds = min(purse.seconds + (now - purse.at) * self._terms.per_s, most)
        purse.at = now
        return purse

    def _most(self) -> float:
        """At least one attempt, where there are any: less than one could never be taken."""
        return max(self._terms.per_s * BURST_S, 1.0) if self._terms.per_s else 0.0

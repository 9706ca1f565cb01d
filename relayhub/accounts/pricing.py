"""What usage costs: integers of nano-USD, rounded up once."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from relayhub.types.money import NANO_PER_USD
from relayhub.types.usage import Usage

TOKENS = 1_000_000
"""Prices are per this many tokens."""


@dataclass(frozen=True, slots=True)
class Price:
    """Nano-USD per million tokens, and per call. ``None``: cached and cache-written tokens cost what input costs,
    reasoning tokens what output costs."""

    input: int = 0
    output: int = 0
    cached_input: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    call: int = 0

    def cost_nano(self, usage: Usage) -> int:
        """The exact sum, rounded up to a whole nano-USD once."""
        cached = self.input if self.cached_input is None else self.cached_input
        written = self.input if self.cache_write is None else self.cache_write
        thought = self.output if self.reasoning is None else self.reasoning
        fresh = max(0, usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens)
        visible = max(0, usage.output_tokens - usage.reasoning_tokens)
        per_million = (
            fresh * self.input
            + usage.cached_tokens * cached
            + usage.cache_write_tokens * written
            + visible * self.output
            + min(usage.reasoning_tokens, usage.output_tokens) * thought
        )
        return -(-per_million // TOKENS) + self.call

    def dearest_input(self) -> int:
        """The most that an input token can cost: what is cached is not known before the answer."""
        return max(self.input, self.cached_input or 0, self.cache_write or 0)

    def dearest_output(self) -> int:
        return max(self.output, self.reasoning or 0)

    def describe(self) -> str:
        """The formula as text, for usage rows and lists: ``input 0.15 + output 0.6 USD/1M tokens``."""
        tokens = {
            "input": self.input,
            "cached": self.cached_input,
            "cache write": self.cache_write,
            "output": self.output,
            "reasoning": self.reasoning,
        }
        said = [f"{name} {_usd(nano)}" for name, nano in tokens.items() if nano]
        parts = [f"{' + '.join(said)} USD/1M tokens"] if said else []
        if self.call:
            parts.append(f"{_usd(self.call)} USD/call")
        return " + ".join(parts) or "free"


def _usd(nano: int) -> str:
    return format(Decimal(nano) / NANO_PER_USD, "f").rstrip("0").rstrip(".")

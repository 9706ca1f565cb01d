"""Prices that depend on what is asked for: by resolution, size, sound, quality and kind of input.

A tier is named ``base+fact+fact``. ``base`` is a resolution or size (``720p``, ``1024x1024``, ``2k``), or ``*`` for any;
facts are ``audio``, the kind of input (``text``, ``image``, ``video``) and an image's quality. The tier that says most
counts: one that names the base before ``*``, then the one with more facts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from relayhub.types.media import MediaUsage

ANY = "*"


@dataclass(frozen=True, slots=True)
class Tier:
    """``nano``: nano-USD per unit of what is priced."""

    base: str
    facts: frozenset[str]
    nano: int

    def applies(self, bases: frozenset[str], facts: frozenset[str]) -> bool:
        """``bases`` empty: not known, so that any may be meant."""
        return (self.base == ANY or not bases or self.base in bases) and self.facts <= facts

    @property
    def precision(self) -> tuple[bool, int, int]:
        return self.base != ANY, len(self.facts), self.nano

    @property
    def name(self) -> str:
        return "+".join([self.base, *sorted(self.facts)])


Tiers = tuple[Tier, ...]


def tiers_of(prices: Mapping[str, int]) -> Tiers:
    """From the config's names; case does not matter."""
    return tuple(_tier(name.lower(), nano) for name, nano in prices.items())


def _tier(name: str, nano: int) -> Tier:
    base, *facts = name.split("+")
    return Tier(base, frozenset(facts), nano)


def nano_of(tiers: Tiers, usage: MediaUsage) -> int | None:
    """The price of one unit; ``None`` where no tier applies. What is not known is taken at its dearest."""
    bases = frozenset(name.lower() for name in (usage.resolution, usage.size) if name)
    facts = _facts(usage)
    applying = [tier for tier in tiers if tier.applies(bases, facts)]
    if not applying:
        return None
    if bases:
        return max(applying, key=lambda tier: tier.precision).nano
    return max(tier.nano for tier in applying)


def _facts(usage: MediaUsage) -> frozenset[str]:
    facts = {usage.input_kind}
    if usage.audio:
        facts.add("audio")
    if usage.quality:
        facts.add(usage.quality.lower())
    return frozenset(facts)


def lacking(usage: MediaUsage) -> str:
    """What a person is told that no price was found for."""
    return "+".join(filter(None, [usage.resolution or usage.size or ANY, *sorted(_facts(usage))]))


def described(tiers: Iterable[Tier], usd: Mapping[str, str]) -> str:
    """``720p 0.1 | 1080p+audio 0.3``; ``usd``: by tier name."""
    return " | ".join(f"{tier.name} {usd[tier.name]}" for tier in tiers)

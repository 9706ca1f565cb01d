"""What a call may cost at most, before it is sent: that much is held."""

from __future__ import annotations

from dataclasses import dataclass

from relayhub.accounts.pricing import Price
from relayhub.types.media import MediaUsage


@dataclass(frozen=True, slots=True)
class Quote:
    """What a request would hold. ``price``: of the route that is dearest, or, for text, first; ``tokens``: input and
    output of a text call, ``media``: what another one consumes, both at most."""

    model: str
    price: Price
    cost_nano: int
    tokens: int = 0
    media: MediaUsage | None = None

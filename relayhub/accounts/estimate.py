"""What a call may cost at most, before it is sent: that much is held."""

from __future__ import annotations

from dataclasses import dataclass

from relayhub.accounts.pricing import Price
from relayhub.types.media import MediaUsage
from relayhub.types.money import MAX_NANO


@dataclass(frozen=True, slots=True)
class Quote:
    """What a request would hold. ``price``: of the route that is dearest, or, for text, first; ``tokens``: input and
    output of a text call, ``media``: what another one consumes, both at most."""

    model: str
    price: Price
    cost_nano: int
    tokens: int = 0
    media: MediaUsage | None = None


def estimate(
    price: Price, *, body_bytes: int, bytes_per_token: int, output_cap: int | None, choices: int
) -> tuple[int, int]:
    """Cost and tokens: input by the size of the request, output by its limit for each choice; ``output_cap`` ``None``: no
    output is generated (embeddings). Rounded up, and never more than the ledger can hold."""
    input_tokens, output_tokens = -(-body_bytes // bytes_per_token), (output_cap or 0) * choices
    return min(price.most_nano(input_tokens, output_tokens), MAX_NANO), input_tokens + output_tokens

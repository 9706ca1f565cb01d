"""What a call may cost at most, before it is sent: that much is held."""

from __future__ import annotations

from relayhub.accounts.pricing import TOKENS, Price
from relayhub.types.money import MAX_NANO


def estimate_nano(price: Price, *, body_bytes: int, bytes_per_token: int, output_cap: int | None, choices: int) -> int:
    """Input by the size of the request, output by its limit for each choice; ``output_cap`` ``None``: no output is
    generated (embeddings). Rounded up, and never more than the ledger can hold."""
    input_tokens = -(-body_bytes // bytes_per_token)
    output_tokens = (output_cap or 0) * choices
    per_million = input_tokens * price.dearest_input() + output_tokens * price.dearest_output()
    return min(-(-per_million // TOKENS) + price.call, MAX_NANO)

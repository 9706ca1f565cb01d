"""What a call consumed, in the upstream's own counts."""

from __future__ import annotations

import msgspec


class Usage(msgspec.Struct, frozen=True):
    """Token counts of one call.

    ``input_tokens`` is the whole input **including** cached and cache-written tokens; ``output_tokens`` the whole
    output **including** reasoning tokens (the OpenAI convention; other dialects add or subtract in their codec).
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0

"""How many tokens an image costs at most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

PATCH_PIXELS = 256
"""At high quality a token stands for 16 x 16 pixels, and one more comes for 64 of them."""
BASE = 64
PER_MILLE: Mapping[str, int] = {"low": 68, "medium": 260, "standard": 260, "high": 1000, "hd": 1000, "xhigh": 2000}
"""Of what high quality costs. 1024 x 1024 is billed with 272, 1056 and 4160 tokens."""
DEAREST = 4000
"""For qualities that nothing is known of."""


def most_output_tokens(pixels: int, quality: str | None, possible: Sequence[str]) -> int:
    """For one image. A quality that the client leaves open may become any of the possible ones."""
    open_ = quality is None or quality == "auto"
    chosen = [name for name in possible if name != "auto"] if open_ else [quality or ""]
    share = max((PER_MILLE.get(name, DEAREST) for name in chosen), default=1000)
    high = -(-pixels * 65 // (PATCH_PIXELS * 64)) + BASE
    return -(-high * share // 1000)


def most_input_tokens(prompt: str, pictures: int) -> int:
    """No token is shorter than a byte. ``pictures``: the tokens of all input pictures."""
    return len(prompt.encode("utf-8", "replace")) + BASE + pictures

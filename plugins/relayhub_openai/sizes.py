"""Sizes in pixels, from whatever a client says of them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from relayhub_openai.refusal import refuse

WXH = re.compile(r"([1-9]\d{1,4})x([1-9]\d{1,4})")
RATIO = re.compile(r"([1-9]\d{0,3}):([1-9]\d{0,3})")
LINES = re.compile(r"([1-9]\d{2,3})p")
ALIKE = 0.03
"""Two shapes are the same up to this part of them: 1792x1024 is called 16:9 by some, and is not."""
SHORT_SIDES = {"2k": 1440, "4k": 2160}
"""Of resolutions that do not say it, as 720p does."""
LONGEST = 7680
_4K = 2160


def pixels_of(size: str) -> int:
    width, height = sides(size)
    return width * height


def sides(size: str, param: str = "size") -> tuple[int, int]:
    """Raises ``ClientError`` naming ``param``."""
    found = WXH.fullmatch(size)
    if found is None:
        refuse(param, "it must be width x height in pixels, such as 1024x1024.")
    return int(found[1]), int(found[2])


def shape(ratio: str) -> float:
    """Raises ``ClientError``."""
    found = RATIO.fullmatch(ratio)
    if found is None:
        refuse("ratio", "it must be width:height, such as 16:9.")
    return int(found[1]) / int(found[2])


def label(size: str) -> str:
    """As the hub names resolutions: 720p, 1080p, 4k."""
    short = min(sides(size))
    return "4k" if short >= _4K else f"{short}p"


def is_shape(size: str, ratio: str) -> bool:
    width, height = sides(size)
    return abs(width / height / shape(ratio) - 1) <= ALIKE


def listed(sizes: Sequence[str], ratio: str | None, resolution: str | None) -> str:
    """The first of them that is as asked. Raises ``ClientError`` naming which of the two cannot be had."""
    left = [size for size in sizes if resolution is None or label(size) == resolution.lower()]
    if not left:
        refuse("resolution", f"this model makes {', '.join(dict.fromkeys(map(label, sizes)))}.")
    left = [size for size in left if ratio is None or is_shape(size, ratio)]
    if not left:
        refuse("ratio", f"this model makes {', '.join(sizes)}.")
    return left[0]


def computed(ratio: str, resolution: str) -> str:
    """Of this shape, its shorter side named by the resolution, both even."""
    lines = LINES.fullmatch(resolution.lower())
    short = int(lines[1]) if lines else SHORT_SIDES.get(resolution.lower())
    if short is None:
        refuse("resolution", "it must be one such as 480p, 720p, 1080p or 4k.")
    wide = shape(ratio)
    long = round(short * max(wide, 1 / wide) / 2) * 2
    if long > LONGEST:
        refuse("ratio", f"no side may be longer than {LONGEST} pixels.")
    return f"{long}x{short}" if wide >= 1 else f"{short}x{long}"


def of_area(ratio: str, pixels: int, step: int) -> str:
    """Of this shape and about as many pixels, never more, its sides multiples of ``step``."""
    wide = shape(ratio)
    height = math.sqrt(pixels / wide)
    return "x".join(str(max(step, int(side / step) * step)) for side in (height * wide, height))

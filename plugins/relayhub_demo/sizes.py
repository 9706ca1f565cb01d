"""Sizes in pixels."""

from __future__ import annotations

import math
import re

WXH = re.compile(r"([1-9]\d{1,3})x([1-9]\d{1,3})")
RATIO = re.compile(r"([1-9]\d{0,3}):([1-9]\d{0,3})")
MOST_STRETCHED = 4


def sides(size: object) -> tuple[int, int] | None:
    """``None`` for what is no size."""
    found = WXH.fullmatch(size) if isinstance(size, str) else None
    return (int(found[1]), int(found[2])) if found else None


def shape(ratio: str) -> float | None:
    """Width by height; ``None`` for what is no ratio, or one beyond 4:1."""
    found = RATIO.fullmatch(ratio)
    wide = int(found[1]) / int(found[2]) if found else 0
    return wide if 1 / MOST_STRETCHED <= wide <= MOST_STRETCHED else None


def of_short_side(wide: float, short: int) -> str:
    """Both sides even."""
    long = round(short * max(wide, 1 / wide) / 2) * 2
    return f"{long}x{short}" if wide >= 1 else f"{short}x{long}"


def of_area(wide: float, pixels: int) -> str:
    """Never more than ``pixels``, multiples of 8."""
    height = math.sqrt(pixels / wide)
    return f"{int(height * wide / 8) * 8}x{int(height / 8) * 8}"

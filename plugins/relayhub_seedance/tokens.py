"""What videos and images come to in tokens, at most."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

FRAMES_PER_S = 24
PIXELS_PER_TOKEN = 1024
IMAGE_PIXELS_PER_TOKEN = 256

MOST_PIXELS: Mapping[str, int] = MappingProxyType(
    {"480p": 992 * 432, "720p": 1504 * 640, "1080p": 1920 * 1088, "4k": 4 * 1920 * 1088}
)
"""Of the ratio that has most of them: the sides are rounded, so the ratios differ by some percent."""


def most_tokens(resolution: str, seconds: float) -> int:
    """One frame more than the seconds have: a clip of 5 s has 121."""
    frames = math.ceil(seconds * FRAMES_PER_S) + 1
    return math.ceil(MOST_PIXELS[resolution] * frames / PIXELS_PER_TOKEN)


def image_tokens(pixels: int) -> int:
    return math.ceil(pixels / IMAGE_PIXELS_PER_TOKEN)

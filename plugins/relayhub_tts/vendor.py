"""Whose API a provider entry speaks to."""

from __future__ import annotations

from enum import StrEnum


class Vendor(StrEnum):
    QWEN = "qwen"
    MINIMAX = "minimax"

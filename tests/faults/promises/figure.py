"""What was promised, and what was measured."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """``measured`` at most ``most``, or, with ``exactly``, just that. ``timed``: depends on what else the machine does."""

    promise: str
    what: str
    measured: float
    most: float
    unit: str = ""
    timed: bool = False
    exactly: bool = False

    def kept(self, slack: float = 1.0) -> bool:
        """``slack``: how many times slower a shared machine may be."""
        if self.exactly:
            return self.measured == self.most
        return self.measured <= self.most * (slack if self.timed else 1.0)

    @property
    def expected(self) -> str:
        return f"{'=' if self.exactly else '≤'} {self.most:g} {self.unit}".rstrip()


def crowded() -> float:
    """How many times as much as the machine can do is asked of it at the moment; at least 1."""
    return max(os.getloadavg()[0] / (os.cpu_count() or 1), 1.0)


WORK, WORK_S = 100_000, 0.01
"""A sum of so many squares, and what it takes at most on a machine that the promises are for."""


def slower() -> float:
    """How many times slower than such a machine this one is at the moment: by itself, or because it is :func:`crowded`."""
    began = time.perf_counter()
    sum(number * number for number in range(WORK))
    return max((time.perf_counter() - began) / WORK_S, crowded())


def quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def table(figures: Sequence[Figure]) -> str:
    """For people."""
    rows = [("promise", "what", "measured", "expected", "")]
    for one in figures:
        measured = f"{one.measured:.4g} {one.unit}".rstrip()
        rows.append((one.promise, one.what, measured, one.expected, "kept" if one.kept() else "MISSED"))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )

"""What the upstream's model can do, as far as a translated request depends on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from relayhub.dialects.effort import BudgetTable

DEFAULT_BUDGETS: BudgetTable = MappingProxyType({"minimal": 512, "low": 1_024, "medium": 8_192, "high": 24_576})
"""Efforts above the table's stand for the largest budget."""

ALL_LEVELS = frozenset({"MINIMAL", "LOW", "MEDIUM", "HIGH"})


class ThinkingStyle(StrEnum):
    """How thinking is asked for."""

    LEVEL = "level"
    """``thinkingLevel``."""
    BUDGET = "budget"
    """``thinkingBudget``, in tokens."""
    NONE = "none"


@dataclass(frozen=True, slots=True)
class GeminiTarget:
    """``levels``: the values of ``thinkingLevel`` that the model takes. ``min_budget`` and ``max_budget``: the limits
    of ``thinkingBudget`` when thinking is on; ``disables``: it can be switched off, with a budget of 0. ``budgets``:
    effort → tokens. ``max_output_tokens``: up to which a client's cap is raised to make room for thinking; ``None``:
    unknown.

    ``json_schema``: takes JSON Schema for parameters and answers; else schemas are converted to the upstream's own.
    ``validated``: takes the calling mode VALIDATED. ``signatures``: refuses calls of the running turn without one.
    ``result_media``: takes media inside results. ``part_resolution``: takes ``mediaResolution`` on single parts.
    ``penalties``: takes presence and frequency penalties.
    """

    thinking: ThinkingStyle = ThinkingStyle.LEVEL
    levels: frozenset[str] = ALL_LEVELS
    min_budget: int = 0
    max_budget: int = 24_576
    disables: bool = True
    budgets: BudgetTable = field(default_factory=lambda: DEFAULT_BUDGETS)
    max_output_tokens: int | None = None
    json_schema: bool = True
    validated: bool = True
    signatures: bool = True
    result_media: bool = True
    part_resolution: bool = False
    penalties: bool = True


LEVELS_BY_EFFORT: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "none": ("MINIMAL", "LOW", "MEDIUM", "HIGH"),
        "minimal": ("MINIMAL", "LOW", "MEDIUM", "HIGH"),
        "low": ("LOW", "MEDIUM", "HIGH"),
        "medium": ("MEDIUM", "HIGH", "LOW"),
        "high": ("HIGH", "MEDIUM", "LOW"),
        "xhigh": ("XHIGH", "HIGH", "MEDIUM", "LOW"),
        "max": ("XHIGH", "HIGH", "MEDIUM", "LOW"),
    }
)
"""Effort → level, the best first."""

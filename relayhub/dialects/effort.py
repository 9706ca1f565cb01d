"""Reasoning effort and token budgets, each in terms of the other.

No vendor publishes an equivalence: the numbers are a convention, which providers let their operators change.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from relayhub.types.chat import Reasoning

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

LOW_BUDGET, MEDIUM_BUDGET = 1_500, 10_000
"""Budgets up to these many tokens are ``low`` and ``medium``, larger ones ``high``."""


BudgetTable = Mapping[str, int]
"""Effort → tokens, for the efforts between ``none`` and ``max``."""

DEFAULT_BUDGETS: BudgetTable = MappingProxyType(
    {"minimal": 1_024, "low": 2_048, "medium": 8_192, "high": 16_384, "xhigh": 32_000}
)


def effort_of(reasoning: Reasoning) -> str | None:
    """The effort that was asked for, in one of :data:`EFFORTS`; ``None``: the model's default."""
    if reasoning.effort is not None:
        return reasoning.effort
    if reasoning.enabled is False or reasoning.budget_tokens == 0:
        return "none"
    if reasoning.budget_tokens is None or reasoning.budget_tokens < 0:
        return None
    if reasoning.budget_tokens <= LOW_BUDGET:
        return "low"
    return "medium" if reasoning.budget_tokens <= MEDIUM_BUDGET else "high"


def budget_of(reasoning: Reasoning, budgets: BudgetTable, largest: int) -> int | None:
    """The budget that was asked for, 0 for none; ``None``: the model's default. ``largest`` stands for ``max``, and
    nothing is above it."""
    if reasoning.budget_tokens is not None and reasoning.budget_tokens >= 0:
        return min(reasoning.budget_tokens, largest)
    effort = effort_of(reasoning)
    if effort is None:
        return None
    if effort == "none":
        return 0
    return min(budgets.get(effort, largest), largest)

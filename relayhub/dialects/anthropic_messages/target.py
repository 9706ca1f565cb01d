"""What the upstream's model can do, as far as a translated request depends on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from relayhub.dialects.effort import DEFAULT_BUDGETS, BudgetTable

SAMPLING_VERSION = "2023-06-01"
"""The last API version that takes ``temperature``, ``top_p`` and ``top_k``."""

ADAPTIVE_EFFORTS = frozenset({"low", "medium", "high", "xhigh", "max"})


class ThinkingStyle(StrEnum):
    """How thinking is asked for."""

    ADAPTIVE = "adaptive"
    """The model decides; an effort guides it."""
    BUDGET = "budget"
    """A fixed number of tokens."""
    NONE = "none"


@dataclass(frozen=True, slots=True)
class AnthropicTarget:
    """``max_output_tokens``: sent where the client gave no cap, and the limit up to which a cap is raised for thinking.

    ``efforts``: those that adaptive thinking takes. ``disables``: thinking can be switched off. ``sampling``: takes
    temperature, top_p and top_k; ``both_samplings``: temperature together with top_p. ``prefill``: the conversation may
    end with the assistant. ``mid_system``: takes system messages between turns. ``version``: the API version that the
    request will name.
    """

    max_output_tokens: int
    thinking: ThinkingStyle = ThinkingStyle.ADAPTIVE
    efforts: frozenset[str] = ADAPTIVE_EFFORTS
    disables: bool = True
    sampling: bool = True
    both_samplings: bool = True
    prefill: bool = False
    mid_system: bool = False
    budgets: BudgetTable = field(default_factory=lambda: DEFAULT_BUDGETS)
    version: str = SAMPLING_VERSION

    @property
    def takes_sampling(self) -> bool:
        return self.sampling and self.version == SAMPLING_VERSION

"""What another dialect's wish for thinking becomes: a level or a budget, and whether thoughts are shown."""

from __future__ import annotations

from dataclasses import dataclass

from relayhub.dialects.effort import budget_of, effort_of
from relayhub.dialects.foreign import Dropped
from relayhub.dialects.gemini_generate.target import LEVELS_BY_EFFORT, GeminiTarget, ThinkingStyle
from relayhub.types.call import Dialect
from relayhub.types.chat import ChatRequest, Reasoning
from relayhub.types.json import JsonObject

DYNAMIC = -1
"""The budget that leaves it to the model."""


@dataclass(frozen=True, slots=True)
class Plan:
    """``cap``: the request's limit on output, which counts thinking; ``config``: its ``thinkingConfig``."""

    cap: int | None
    config: JsonObject | None = None


def plan_thinking(request: ChatRequest, target: GeminiTarget, dropped: Dropped) -> Plan:
    """For another dialect's request. Notes the client's field where thinking is not as it wished."""
    cap, wish = request.max_output_tokens, request.reasoning
    if wish is None:
        return Plan(cap)
    field = "thinking" if request.dialect == Dialect.ANTHROPIC_MESSAGES.value else "reasoning_effort"
    wants = effort_of(wish) not in (None, "none") or bool(wish.enabled)
    shown: JsonObject = {"includeThoughts": True} if _shows(wish, request.dialect, wants=wants) else {}
    match target.thinking:
        case ThinkingStyle.NONE:
            if wants:
                dropped.note(field)
            return Plan(cap)
        case ThinkingStyle.LEVEL:
            level = _level(effort_of(wish), target)
            if effort_of(wish) == "none":
                dropped.note(field)  # these models always think
            return Plan(cap, {**shown, "thinkingLevel": level} if level else shown or None)
        case ThinkingStyle.BUDGET:
            return _budgeted(wish, cap, shown, field, target, dropped)


def _shows(wish: Reasoning, dialect: str, *, wants: bool) -> bool:
    """Responses asks for summaries itself; to clients of other dialects thinking is shown unless they say otherwise."""
    if wish.include is not None:
        return wish.include
    return wants and dialect != Dialect.OPENAI_RESPONSES.value


def _level(effort: str | None, target: GeminiTarget) -> str | None:
    return next((level for level in LEVELS_BY_EFFORT.get(effort or "", ()) if level in target.levels), None)


def _budgeted(
    wish: Reasoning, cap: int | None, shown: JsonObject, field: str, target: GeminiTarget, dropped: Dropped
) -> Plan:
    budget = budget_of(wish, target.budgets, target.max_budget)
    if budget is None:
        return Plan(cap, {**shown, "thinkingBudget": DYNAMIC} if wish.enabled else shown or None)
    if budget == 0 and target.disables:
        return Plan(cap, {"thinkingBudget": 0})
    if budget == 0:
        dropped.note(field)
    budget = max(budget, target.min_budget, 1)
    if cap is None or budget < cap:
        return Plan(cap, {**shown, "thinkingBudget": budget})
    # The cap counts thinking too: raised, for as long an answer beside it, up to what the model can.
    raised = max(min(cap + budget, target.max_output_tokens or cap), cap)
    if budget >= raised:
        budget = raised // 2
    if budget >= max(target.min_budget, 1):
        return Plan(raised, {**shown, "thinkingBudget": budget})
    dropped.note(field)
    return Plan(cap, {"thinkingBudget": 0} if target.disables else None)

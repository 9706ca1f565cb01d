"""Thinking and effort: a client's own words to the hub's, and the hub's to what a model of the upstream takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from relayhub.dialects.anthropic_messages.names import NAME
from relayhub.dialects.anthropic_messages.target import AnthropicTarget, ThinkingStyle
from relayhub.dialects.effort import EFFORTS, budget_of, effort_of
from relayhub.dialects.fields import Fields, wrong_type
from relayhub.dialects.foreign import Dropped
from relayhub.types.call import Dialect
from relayhub.types.chat import (
    ChatRequest,
    Message,
    OpaquePart,
    Part,
    Reasoning,
    ReasoningPart,
    Role,
    TextPart,
    ToolMode,
    ToolResultPart,
)
from relayhub.types.json import JsonObject

FIELD = "thinking"
LEAST_BUDGET = 1_024

_SHOWN: Mapping[str | None, bool] = {"summarized": True, "omitted": False}
_DISPLAYS = {shown: word for word, shown in _SHOWN.items()}
_INSTEAD = {"minimal": "low", "max": "xhigh", "xhigh": "high", "high": "medium", "medium": "low"}
"""The next effort to try where a model does not take one."""


def decode_reasoning(fields: Fields, config: Fields | None) -> Reasoning | None:
    """Reads ``thinking``, and ``effort`` of ``config`` (``output_config``). What the hub's words cannot say stays in the
    rest, so that it is written again."""
    thinking = fields.peek(FIELD)
    if thinking is not None and not isinstance(thinking, dict):
        raise wrong_type(fields.at(FIELD), "an object")
    wish = None if thinking is None else _decode_thinking(Fields(thinking, fields.at(FIELD)))
    if wish is not None and encode_thinking(wish) == thinking:
        fields.take(FIELD)
    # Without thinking an effort guides the answer itself, which is another matter to other dialects.
    off = wish is not None and wish.enabled is False
    effort = None if config is None or off else _decode_effort(config)
    if effort is None:
        return wish
    wish = wish or Reasoning()
    return Reasoning(effort, wish.budget_tokens, wish.enabled, wish.include)


def _decode_thinking(thinking: Fields) -> Reasoning:
    kind = thinking.name("type")
    budget = thinking.optional_integer("budget_tokens") if kind == "enabled" else None
    include = _SHOWN.get(thinking.optional_text("display"))
    return Reasoning(None, budget, kind in ("enabled", "adaptive"), include)


def _decode_effort(config: Fields) -> str | None:
    effort = config.optional_text("effort")
    if effort is not None and effort not in EFFORTS:
        config.keep("effort", effort)
        return None
    return effort


def encode_thinking(wish: Reasoning) -> JsonObject | None:
    """What :func:`decode_reasoning` has read."""
    if wish.enabled is None:
        return None
    if wish.enabled is False:
        return {"type": "disabled"}
    display: JsonObject = {} if wish.include is None else {"display": _DISPLAYS[wish.include]}
    if wish.budget_tokens is None:
        return {"type": "adaptive", **display}
    return {"type": "enabled", "budget_tokens": wish.budget_tokens, **display}


@dataclass(frozen=True, slots=True)
class Plan:
    """What a translated request says about thinking. ``thinking``: ``None`` leaves it to the model."""

    max_tokens: int
    thinking: JsonObject | None = None
    effort: str | None = None

    @property
    def on(self) -> bool:
        return self.thinking is not None and self.thinking["type"] != "disabled"


def plan_thinking(request: ChatRequest, target: AnthropicTarget, dropped: Dropped) -> Plan:
    """For another dialect's request. Notes ``thinking`` where it is not as the client wished."""
    cap = request.max_output_tokens or target.max_output_tokens
    wish = request.reasoning
    if wish is None:
        return Plan(cap)
    match target.thinking:
        case ThinkingStyle.ADAPTIVE:
            plan = _adaptive(_shown(wish, request), cap, target, dropped)
        case ThinkingStyle.BUDGET:
            plan = _budgeted(_shown(wish, request), request, cap, target, dropped)
        case ThinkingStyle.NONE:
            plan = Plan(cap)
            if _wants_thinking(wish):
                dropped.note(FIELD)
    if plan.on and _lacks_signed_thinking(request.messages):
        dropped.note(FIELD)
        return Plan(cap, _off(target))
    return plan


def _shown(wish: Reasoning, request: ChatRequest) -> Reasoning:
    """Clients of chat completions see whatever thinking there is; they have no word for asking."""
    return replace(wish, include=True) if request.dialect == Dialect.OPENAI_CHAT.value else wish


def _wants_thinking(wish: Reasoning) -> bool:
    return effort_of(wish) not in (None, "none") or bool(wish.enabled)


def _off(target: AnthropicTarget) -> JsonObject | None:
    return {"type": "disabled"} if target.disables else None


def _display(wish: Reasoning) -> JsonObject:
    return {"display": "summarized"} if wish.include else {}


def _adaptive(wish: Reasoning, cap: int, target: AnthropicTarget, dropped: Dropped) -> Plan:
    effort = effort_of(wish)
    if effort == "none":
        if not target.disables:
            dropped.note(FIELD)
        return Plan(cap, _off(target), None if target.disables else _nearest("low", target))
    if effort is None and not wish.enabled:
        return Plan(cap)
    return Plan(cap, {"type": "adaptive", **_display(wish)}, _nearest(effort, target))


def _nearest(effort: str | None, target: AnthropicTarget) -> str | None:
    while effort is not None and effort not in target.efforts:
        effort = _INSTEAD.get(effort)
    return effort


def _budgeted(wish: Reasoning, request: ChatRequest, cap: int, target: AnthropicTarget, dropped: Dropped) -> Plan:
    largest = max(target.max_output_tokens, cap)
    budget = budget_of(wish, target.budgets, largest)
    if budget is None and wish.enabled:
        budget = budget_of(Reasoning("medium"), target.budgets, largest)
    if budget is None:
        return Plan(cap)
    if budget == 0:
        return Plan(cap, _off(target))
    budget = max(budget, LEAST_BUDGET)
    if budget >= cap:
        # The cap of the client's dialect counts thinking too: room for as long an answer stays beside it.
        cap, budget = _raised(cap, budget, largest)
    if budget >= cap or _is_forced(request):
        dropped.note(FIELD)
        return Plan(request.max_output_tokens or target.max_output_tokens)
    return Plan(cap, {"type": "enabled", "budget_tokens": budget, **_display(wish)})


def _raised(cap: int, budget: int, largest: int) -> tuple[int, int]:
    """Cap and budget within the largest cap; at the limit they share it."""
    raised = min(cap + budget, largest)
    return raised, budget if budget < raised else max(raised // 2, LEAST_BUDGET)


def _is_forced(request: ChatRequest) -> bool:
    return request.tool_choice is not None and request.tool_choice.mode is ToolMode.REQUIRED


def _lacks_signed_thinking(messages: tuple[Message, ...]) -> bool:
    """Whether a tool turn is running whose thinking this upstream cannot be given back."""
    running = False
    for message in reversed(messages):
        if message.role is Role.ASSISTANT:
            if any(_is_signed(part) for part in message.parts):
                return False
        elif any(not _belongs_to_turn(part) for part in message.parts):
            break
        running = running or any(isinstance(part, ToolResultPart) for part in message.parts)
    return running


def _is_signed(part: Part) -> bool:
    return isinstance(part, ReasoningPart) and part.signer == NAME and bool(part.signature or part.redacted)


def _belongs_to_turn(part: Part) -> bool:
    return isinstance(part, ToolResultPart | OpaquePart) or (isinstance(part, TextPart) and not part.text)

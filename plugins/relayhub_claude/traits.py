"""What is known about Claude's models. Checked 2026-11-20 against Anthropic's documentation of its models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

from relayhub.sdk import AnthropicTarget, AnthropicThinkingStyle
from relayhub_claude.settings import ClaudeSettings

_NEWEST = AnthropicTarget(128_000, sampling=False, disables=False)
_ADAPTIVE = AnthropicTarget(64_000, efforts=frozenset({"low", "medium", "high", "max"}))
_BUDGET = AnthropicTarget(64_000, AnthropicThinkingStyle.BUDGET, both_samplings=False, prefill=True)
_PLAIN = AnthropicTarget(8_192, AnthropicThinkingStyle.NONE, prefill=True)

TRAITS: tuple[tuple[str, AnthropicTarget], ...] = (
    ("claude-3-7-*", _BUDGET),
    ("claude-3-5-*", _PLAIN),
    ("claude-3-*", replace(_PLAIN, max_output_tokens=4_096)),
    ("claude-opus-4-6*", replace(_ADAPTIVE, max_output_tokens=128_000)),
    ("claude-*-4-6*", _ADAPTIVE),
    ("claude-opus-4-5*", _BUDGET),
    ("claude-*-4-5*", _BUDGET),
    ("claude-opus-4-1*", replace(_BUDGET, max_output_tokens=32_000)),
    ("claude-opus-4-20*", replace(_BUDGET, max_output_tokens=32_000, both_samplings=True)),
    ("claude-sonnet-4-20*", replace(_BUDGET, both_samplings=True)),
    ("claude-*", _NEWEST),
    ("*", AnthropicTarget(8_192, AnthropicThinkingStyle.BUDGET)),
)
"""Pattern → traits; the first that fits counts. A new Claude is taken to be like the newest known; other vendors' models
behind this API take a budget, and the usual cap of its older models."""


def target_of(model: str, settings: ClaudeSettings) -> AnthropicTarget:
    """The operator's word first, then the table's."""
    known = next(target for pattern, target in TRAITS if fnmatchcase(model, pattern))
    own: Mapping[str, int] = {str(effort): tokens for effort, tokens in settings.thinking_budgets.items()}
    budgets = {**known.budgets, **own}
    return replace(known, version=settings.version, budgets=budgets, **_overrides(model, settings))


def _overrides(model: str, settings: ClaudeSettings) -> Mapping[str, Any]:
    fitting = [pattern for pattern in settings.model_traits if fnmatchcase(model, pattern)]
    if not fitting:
        return {}
    closest = max(fitting, key=len)
    return settings.model_traits[closest].model_dump(exclude_none=True)

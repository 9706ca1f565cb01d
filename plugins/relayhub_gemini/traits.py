"""What is known about Gemini's models. Checked 2026-11-20 against Google's documentation of its models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

from relayhub.sdk import GeminiTarget, GeminiThinkingStyle
from relayhub_gemini.settings import GeminiSettings

_NEWEST = GeminiTarget(max_output_tokens=65_536, disables=False)
_BUDGET = GeminiTarget(
    GeminiThinkingStyle.BUDGET, max_output_tokens=65_536, signatures=False, result_media=False, validated=False
)
_PLAIN = GeminiTarget(
    GeminiThinkingStyle.NONE,
    max_output_tokens=8_192,
    signatures=False,
    result_media=False,
    validated=False,
    json_schema=False,
)

TRAITS: tuple[tuple[str, GeminiTarget], ...] = (
    ("gemini-2.5-*image*", replace(_PLAIN, max_output_tokens=32_768)),
    ("gemini-2.5-pro*", replace(_BUDGET, min_budget=128, max_budget=32_768, disables=False)),
    ("gemini-2.5-flash-lite*", replace(_BUDGET, min_budget=512)),
    ("gemini-2.5-*", _BUDGET),
    ("gemini-1*", _PLAIN),
    ("gemini-2*", _PLAIN),
    ("gemini-3-pro*", replace(_NEWEST, levels=frozenset({"LOW", "HIGH"}))),
    ("gemini-*", _NEWEST),
    ("*", replace(_PLAIN, penalties=False)),
)
"""Pattern → traits; the first that fits counts. A new Gemini is taken to be like the newest known; what is no Gemini at all
(Gemma and the like) is asked for as little as possible."""


def target_of(model: str, settings: GeminiSettings) -> GeminiTarget:
    """The operator's word first, then the table's. ``model`` may have its ``models/`` in front."""
    name = model.removeprefix("models/")
    known = next(target for pattern, target in TRAITS if fnmatchcase(name, pattern))
    own: Mapping[str, int] = {str(effort): tokens for effort, tokens in settings.thinking_budgets.items()}
    budgets = {**known.budgets, **own}
    return replace(known, budgets=budgets, **_overrides(name, settings))


def _overrides(model: str, settings: GeminiSettings) -> Mapping[str, Any]:
    fitting = [pattern for pattern in settings.model_traits if fnmatchcase(model, pattern)]
    if not fitting:
        return {}
    closest = max(fitting, key=len)
    return settings.model_traits[closest].model_dump(exclude_none=True)

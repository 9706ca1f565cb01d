"""Claude, and any upstream that speaks Anthropic's Messages API."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from relayhub.sdk import ProviderContext, ProviderType, hookimpl
from relayhub_claude.settings import ClaudeSettings

if TYPE_CHECKING:
    from relayhub_claude.provider import ClaudeProvider


def build(settings: ClaudeSettings, context: ProviderContext) -> ClaudeProvider:
    """A hub that has no such upstream never loads what it is made of."""
    from relayhub_claude.provider import ClaudeProvider

    return ClaudeProvider(settings, context)


CLAUDE = ProviderType(
    name="claude",
    settings=ClaudeSettings,
    build=build,
    summary="Claude, and any upstream that speaks Anthropic's Messages API",
)


@hookimpl
def relayhub_register_providers() -> Iterable[ProviderType[Any]]:
    return [CLAUDE]

"""Claude, and any upstream that speaks Anthropic's Messages API."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from relayhub.sdk import ProviderType, hookimpl
from relayhub_claude.provider import ClaudeProvider
from relayhub_claude.settings import ClaudeSettings

CLAUDE = ProviderType(
    name="claude",
    settings=ClaudeSettings,
    build=ClaudeProvider,
    summary="Claude, and any upstream that speaks Anthropic's Messages API",
)


@hookimpl
def relayhub_register_providers() -> Iterable[ProviderType[Any]]:
    return [CLAUDE]

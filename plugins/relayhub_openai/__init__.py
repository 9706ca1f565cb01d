"""Any upstream that speaks OpenAI's API. Most providers are configuration of this plugin, not code."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from relayhub.sdk import ProviderType, hookimpl
from relayhub_openai.provider import OpenAIProvider
from relayhub_openai.settings import OpenAISettings

OPENAI = ProviderType(
    name="openai",
    settings=OpenAISettings,
    build=OpenAIProvider,
    summary="Any upstream that speaks OpenAI's API: text, speech, images, videos",
)


@hookimpl
def relayhub_register_providers() -> Iterable[ProviderType[Any]]:
    return [OPENAI]

"""Any upstream that speaks OpenAI's API. Most providers are configuration of this plugin, not code."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from relayhub.sdk import ProviderContext, ProviderType, hookimpl
from relayhub_openai.settings import OpenAISettings

if TYPE_CHECKING:
    from relayhub_openai.provider import OpenAIProvider


def build(settings: OpenAISettings, context: ProviderContext) -> OpenAIProvider:
    """A hub that has no such upstream never loads what it is made of."""
    from relayhub_openai.provider import OpenAIProvider

    return OpenAIProvider(settings, context)


OPENAI = ProviderType(
    name="openai",
    settings=OpenAISettings,
    build=build,
    summary="Any upstream that speaks OpenAI's API: text, speech, images, videos",
)


@hookimpl
def relayhub_register_providers() -> Iterable[ProviderType[Any]]:
    return [OPENAI]

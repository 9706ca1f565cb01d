"""Gemini: text, images and embeddings through Google's generative language API."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from relayhub.sdk import ProviderContext, ProviderType, hookimpl
from relayhub_gemini.settings import GeminiSettings

if TYPE_CHECKING:
    from relayhub_gemini.provider import GeminiProvider


def build(settings: GeminiSettings, context: ProviderContext) -> GeminiProvider:
    """A hub that has no such upstream never loads what it is made of."""
    from relayhub_gemini.provider import GeminiProvider

    return GeminiProvider(settings, context)


GEMINI = ProviderType(
    name="gemini",
    settings=GeminiSettings,
    build=build,
    summary="Gemini: text, images and embeddings through Google's generative language API",
)


@hookimpl
def relayhub_register_providers() -> Iterable[ProviderType[Any]]:
    return [GEMINI]

"""Gemini: text, images and embeddings through Google's generative language API."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from relayhub.sdk import ProviderType, hookimpl
from relayhub_gemini.provider import GeminiProvider
from relayhub_gemini.settings import GeminiSettings

GEMINI = ProviderType(
    name="gemini",
    settings=GeminiSettings,
    build=GeminiProvider,
    summary="Gemini: text, images and embeddings through Google's generative language API",
)


@hookimpl
def relayhub_register_providers() -> Iterable[ProviderType[Any]]:
    return [GEMINI]

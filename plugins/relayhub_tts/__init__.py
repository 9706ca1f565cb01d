"""Text to speech: qwen-tts on DashScope, and MiniMax T2A v2."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from relayhub.sdk import ProviderType, hookimpl
from relayhub_tts.provider import TtsProvider
from relayhub_tts.settings import TtsSettings

TTS = ProviderType(
    name="tts",
    settings=TtsSettings,
    build=TtsProvider,
    summary="Text to speech (qwen-tts on DashScope, MiniMax T2A v2)",
)


@hookimpl
def relayhub_register_providers() -> Iterable[ProviderType[Any]]:
    return [TTS]

"""Text to speech: qwen-tts on DashScope, and MiniMax T2A v2."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from relayhub.sdk import ProviderContext, ProviderType, hookimpl
from relayhub_tts.settings import TtsSettings

if TYPE_CHECKING:
    from relayhub_tts.provider import TtsProvider


def build(settings: TtsSettings, context: ProviderContext) -> TtsProvider:
    """A hub that has no such upstream never loads what it is made of."""
    from relayhub_tts.provider import TtsProvider

    return TtsProvider(settings, context)


TTS = ProviderType(
    name="tts",
    settings=TtsSettings,
    build=build,
    summary="Text to speech (qwen-tts on DashScope, MiniMax T2A v2)",
)


@hookimpl
def relayhub_register_providers() -> Iterable[ProviderType[Any]]:
    return [TTS]

"""The provider: one vendor's speech."""

from __future__ import annotations

from typing import assert_never

from relayhub.sdk import ProviderContext
from relayhub_tts.minimax import MiniMaxSpeech
from relayhub_tts.qwen import QwenSpeech
from relayhub_tts.settings import TtsSettings
from relayhub_tts.vendor import Vendor


class TtsProvider:
    """A :class:`relayhub.sdk.SpeechProvider`."""

    def __init__(self, settings: TtsSettings, _context: ProviderContext) -> None:
        self._settings = settings

    def speech(self) -> QwenSpeech | MiniMaxSpeech:
        match self._settings.vendor:
            case Vendor.QWEN:
                return QwenSpeech(self._settings)
            case Vendor.MINIMAX:
                return MiniMaxSpeech(self._settings)
            case _:
                assert_never(self._settings.vendor)

"""What both vendors are asked in the same way."""

from __future__ import annotations

from relayhub_tts.refusal import refuse, written
from relayhub_tts.settings import Ignorable, TtsSettings
from relayhub_tts.traits import SpeechTraits

MAX_VOICE = 256
MAX_INSTRUCTIONS = 4096


def spoken_text(text: str, traits: SpeechTraits) -> str:
    return written("input", text, traits.max_characters)


def voice_of(name: str, settings: TtsSettings) -> str:
    voice = settings.voice_of(written("voice", name, MAX_VOICE))
    if voice is None:
        refuse("voice", "this provider takes the voices of its map only.")
    return voice


def instructed(
    instructions: str | None, traits: SpeechTraits, settings: TtsSettings, dropped: list[str]
) -> dict[str, str]:
    """What was left out is added to ``dropped``."""
    if not instructions:
        return {}
    if traits.instructions:
        return {"instructions": written("instructions", instructions, MAX_INSTRUCTIONS)}
    if Ignorable.INSTRUCTIONS not in settings.ignore:
        refuse("instructions", "this model does not take them.")
    dropped.append("instructions")
    return {}

"""What DashScope is sent, and what it will cost at most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from relayhub.sdk import Json, MediaUsage, SpeechRequest
from relayhub_tts.asked import instructed, spoken_text, voice_of
from relayhub_tts.counting import most_characters
from relayhub_tts.refusal import flag, one_of, refuse, unknown
from relayhub_tts.settings import Ignorable, TtsSettings
from relayhub_tts.traits import LANGUAGES, SpeechTraits, traits_of
from relayhub_tts.vendor import Vendor

FORMATS = ("wav", "pcm")
TOKENS_PER_CHARACTER = 50
"""A second of speech is 50 tokens, for the older models that bill in tokens; hardly a character takes longer."""
SPARE_TOKENS = 256


@dataclass(frozen=True, slots=True)
class Asked:
    """``dropped``: what the settings let be left out."""

    body: Mapping[str, object]
    format: str
    dropped: tuple[str, ...]


def asked_of(model: str, request: SpeechRequest, settings: TtsSettings) -> Asked:
    """Raises ``ClientError`` naming what the model cannot honour."""
    traits = traits_of(model, Vendor.QWEN, settings.model_traits)
    dropped: list[str] = []
    format_ = request.format or FORMATS[0]
    if format_ not in FORMATS:
        refuse("response_format", f"this model speaks {' and '.join(FORMATS)} only.")
    _check_speed(request.speed, settings, dropped)
    said = {
        "text": spoken_text(request.text, traits),
        "voice": voice_of(request.voice, settings),
        "language_type": settings.language or "Auto",
        **instructed(request.instructions, traits, settings, dropped),
        **_own(request.vendor, traits),
    }
    return Asked({"model": model, "input": said}, format_, tuple(dropped))


def most_of(request: SpeechRequest) -> MediaUsage:
    """An upper bound. Whether instructions are billed as text is not documented, so they count."""
    text = request.text + (request.instructions or "")
    return MediaUsage(
        characters=most_characters(text),
        input_tokens=len(text.encode("utf-8", "replace")) + SPARE_TOKENS,
        output_tokens=len(request.text) * TOKENS_PER_CHARACTER + SPARE_TOKENS,
    )


def _check_speed(speed: float | None, settings: TtsSettings, dropped: list[str]) -> None:
    if speed is None or speed == 1:
        return
    if Ignorable.SPEED not in settings.ignore:
        refuse("speed", "this model speaks at its own speed only.")
    dropped.append("speed")


def _own(vendor: Mapping[str, Json], traits: SpeechTraits) -> dict[str, object]:
    """The parameters of the vendor's own API."""
    body: dict[str, object] = {}
    for name, value in vendor.items():
        match name:
            case _ if value is None:
                continue
            case "language_type":
                body[name] = one_of(name, value, LANGUAGES[Vendor.QWEN])
            case "optimize_instructions" if traits.instructions:
                body[name] = flag(name, value)
            case _:
                unknown(name)
    return body

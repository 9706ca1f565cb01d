"""What MiniMax is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TypeAlias

from relayhub.sdk import Json, SpeechRequest
from relayhub_tts.asked import instructed, spoken_text, voice_of
from relayhub_tts.refusal import flag, numeral, one_of, refuse, unknown, whole
from relayhub_tts.settings import TtsSettings
from relayhub_tts.sounds import RATE
from relayhub_tts.traits import LANGUAGES, MINIMAX_PREFIX, SpeechTraits, traits_of
from relayhub_tts.vendor import Vendor

FORMATS = ("mp3", "wav", "flac", "pcm", "opus")
STREAMED = frozenset({"mp3", "flac", "pcm"})
"""wav cannot be streamed by the vendor's own word; whether a streamed opus is a whole file is not documented."""
SLOWEST, FASTEST = 0.5, 2.0
LOUDEST = 10.0
QUIETEST = 0.01
SAMPLE_RATES = (8000, 16000, 22050, 24000, 32000, 44100)
BIT_RATES = (32000, 64000, 128000, 256000)
SOUND_EFFECTS = ("spacious_echo", "auditorium_echo", "lofi_telephone", "robotic")
MAX_TONES = 1000

Check: TypeAlias = Callable[[str, Json, SpeechTraits], object]


def asked_of(model: str, request: SpeechRequest, settings: TtsSettings) -> tuple[dict[str, object], tuple[str, ...]]:
    """The body, and what was left out of it. Raises ``ClientError`` naming what the model cannot honour."""
    traits = traits_of(model, Vendor.MINIMAX, settings.model_traits)
    dropped: list[str] = []
    instructed(request.instructions, traits.model_copy(update={"instructions": False}), settings, dropped)
    own = {name: _checked(name, value, traits) for name, value in _flat(request.vendor) if value is not None}
    voice = {
        "voice_id": voice_of(request.voice, settings),
        **({} if request.speed is None else {"speed": numeral("speed", request.speed, SLOWEST, FASTEST)}),
        **{name: own[name] for name in VOICE if name in own},
    }
    body: dict[str, object] = {
        "model": model.removeprefix(MINIMAX_PREFIX),
        "text": spoken_text(request.text, traits),
        **({"language_boost": settings.language} if settings.language else {}),
        **{name: own[name] for name in OTHERS if name in own},
        "voice_setting": voice,
        "audio_setting": _audio(format_of(request), own, settings),
    }
    return body, tuple(dropped)


def format_of(request: SpeechRequest) -> str:
    format_ = request.format or FORMATS[0]
    if format_ not in FORMATS:
        refuse("response_format", f"this model speaks {', '.join(FORMATS)} only.")
    return format_


def _audio(format_: str, own: Mapping[str, object], settings: TtsSettings) -> dict[str, object]:
    if format_ == "pcm":
        # What pcm is, is fixed: players that were built for it ask nobody.
        for name, only in (("sample_rate", RATE), ("channel", 1)):
            if own.get(name, only) != only:
                refuse(name, f"pcm has always {only}.")
        return {"format": format_, "sample_rate": RATE, "channel": 1}
    audio: dict[str, object] = {"format": format_, "sample_rate": own.get("sample_rate", settings.sample_rate)}
    for name in ("bitrate", "force_cbr"):
        if name in own and format_ != "mp3":
            refuse(name, "it is for mp3 only.")
    if format_ == "mp3":
        audio["bitrate"] = own.get("bitrate", settings.bitrate)
    return {**audio, **{name: own[name] for name in ("channel", "force_cbr") if name in own}}


# --- the parameters of the vendor's own API ---------------------------------------------------------------------------


def _flat(vendor: Mapping[str, Json]) -> Iterator[tuple[str, Json]]:
    """Clients give them by themselves, or in the objects that the vendor has for them."""
    for name, value in vendor.items():
        if name in GROUPS and value is not None:
            if not isinstance(value, dict):
                refuse(name, "it must be an object.")
            yield from ((key, inside) for key, inside in value.items() if _belongs(name, key))
        else:
            yield name, value


def _belongs(group: str, name: str) -> bool:
    instead = SAID_ELSEWHERE.get(name)
    if instead is not None:
        refuse(f"{group}.{name}", f"say {instead} instead.")
    if name not in GROUPS[group]:
        unknown(f"{group}.{name}")
    return True


def _checked(name: str, value: Json, traits: SpeechTraits) -> object:
    check = CHECKS.get(name)
    if check is None:
        unknown(name)
    return check(name, value, traits)


def _number_of(name: str, value: Json, allowed: tuple[int, ...]) -> int:
    number = whole(name, value, allowed[0], allowed[-1])
    if number not in allowed:
        refuse(name, f"it must be one of {', '.join(map(str, allowed))}.")
    return number


def _tones(name: str, value: Json, _traits: SpeechTraits) -> object:
    tones = value.get("tone") if isinstance(value, dict) and value.keys() == {"tone"} else None
    if not isinstance(tones, list) or len(tones) > MAX_TONES or not all(isinstance(tone, str) for tone in tones):
        refuse(name, "it must be an object with tone, a list of texts.")
    return value


def _modified(name: str, value: Json, _traits: SpeechTraits) -> object:
    if not isinstance(value, dict):
        refuse(name, "it must be an object.")
    for key, inside in value.items():
        match key:
            case "pitch" | "intensity" | "timbre":
                whole(f"{name}.{key}", inside, -100, 100)
            case "sound_effects":
                one_of(f"{name}.{key}", inside, SOUND_EFFECTS)
            case _:
                unknown(f"{name}.{key}")
    return value


def _flag(name: str, value: Json, _traits: SpeechTraits) -> object:
    return flag(name, value)


VOICE: Mapping[str, Check] = MappingProxyType(
    {
        "vol": lambda name, value, _traits: numeral(name, value, QUIETEST, LOUDEST),
        "pitch": lambda name, value, _traits: whole(name, value, -12, 12),
        "emotion": lambda name, value, traits: one_of(name, value, traits.emotions),
        "text_normalization": _flag,
        "latex_read": _flag,
    }
)
AUDIO: Mapping[str, Check] = MappingProxyType(
    {
        "sample_rate": lambda name, value, _traits: _number_of(name, value, SAMPLE_RATES),
        "bitrate": lambda name, value, _traits: _number_of(name, value, BIT_RATES),
        "channel": lambda name, value, _traits: whole(name, value, 1, 2),
        "force_cbr": _flag,
    }
)
OTHERS: Mapping[str, Check] = MappingProxyType(
    {
        "language_boost": lambda name, value, _traits: one_of(name, value, LANGUAGES[Vendor.MINIMAX]),
        "pronunciation_dict": _tones,
        "voice_modify": _modified,
    }
)
CHECKS: Mapping[str, Check] = MappingProxyType({**VOICE, **AUDIO, **OTHERS})
GROUPS: Mapping[str, Mapping[str, Check]] = MappingProxyType({"voice_setting": VOICE, "audio_setting": AUDIO})
SAID_ELSEWHERE: Mapping[str, str] = MappingProxyType(
    {"voice_id": "voice", "speed": "speed, beside it,", "format": "response_format"}
)

"""What each model takes. The tables are of the date in the README; the settings override them model by model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from relayhub.sdk import invalid_request
from relayhub_tts.vendor import Vendor

Characters = Annotated[int, Field(ge=1, le=1_000_000)]

MINIMAX_PREFIX = "MiniMax/"
SNAPSHOT = re.compile(r"-(latest|\d{4}-\d{2}-\d{2})$")
"""What follows a model's name in the ids of its versions."""

LANGUAGES: Mapping[Vendor, tuple[str, ...]] = MappingProxyType(
    {
        Vendor.QWEN: (
            *("Auto", "Chinese", "English", "German", "Italian", "Portuguese", "Spanish"),
            *("Japanese", "Korean", "French", "Russian"),
        ),
        Vendor.MINIMAX: (
            *("auto", "Chinese", "Chinese,Yue", "English", "Arabic", "Russian", "Spanish", "French", "Portuguese"),
            *("German", "Turkish", "Dutch", "Ukrainian", "Vietnamese", "Indonesian", "Japanese", "Italian", "Korean"),
            *("Thai", "Polish", "Romanian", "Greek", "Czech", "Finnish", "Hindi", "Bulgarian", "Danish", "Hebrew"),
            *("Malay", "Persian", "Slovak", "Swedish", "Croatian", "Filipino", "Hungarian", "Norwegian", "Slovenian"),
            *("Catalan", "Nynorsk", "Tamil", "Afrikaans"),
        ),
    }
)
EMOTIONS = ("happy", "sad", "angry", "fearful", "disgusted", "surprised", "calm")


class SpeechTraits(BaseModel):
    """What a model takes. Unset fields of a setting keep what relayhub knows."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    like: str | None = Field(None, description="A model whose traits these start from, for new models.")
    max_characters: Characters = Field(600, description="The most characters of a text.")
    instructions: bool = Field(False, description="qwen: whether it takes instructions for the manner of speaking.")
    emotions: tuple[str, ...] = Field((), description="minimax: values of emotion that it takes.")


_OLDER = SpeechTraits(max_characters=9_999, emotions=EMOTIONS)
_2_6 = _OLDER.model_copy(update={"emotions": (*EMOTIONS, "fluent", "whisper")})
_2_8 = _OLDER.model_copy(update={"emotions": (*EMOTIONS, "fluent")})

MODELS: Mapping[Vendor, Mapping[str, SpeechTraits]] = MappingProxyType(
    {
        Vendor.QWEN: MappingProxyType(
            {
                "qwen3-tts-flash": SpeechTraits(),
                "qwen3-tts-instruct-flash": SpeechTraits(instructions=True),
                "qwen3-tts-vd": SpeechTraits(),
                "qwen3-tts-vc": SpeechTraits(),
                "qwen-tts": SpeechTraits(),
            }
        ),
        Vendor.MINIMAX: MappingProxyType(
            {
                "speech-2.8-hd": _2_8,
                "speech-2.8-turbo": _2_8,
                "speech-2.6-hd": _2_6,
                "speech-2.6-turbo": _2_6,
                "speech-02-hd": _OLDER,
                "speech-02-turbo": _OLDER,
                "speech-01-hd": _OLDER,
                "speech-01-turbo": _OLDER,
            }
        ),
    }
)


def traits_of(model: str, vendor: Vendor, overrides: Mapping[str, SpeechTraits]) -> SpeechTraits:
    """Of the model that ``model`` is a version of, changed by the longest override that fits (exact, or with a final
    ``*``). Raises ``ClientError`` naming the model if nothing is known of it."""
    override = _longest(model, overrides)
    base = _known(override.like if override and override.like else model, MODELS[vendor])
    if override is None and base is None:
        raise invalid_request(
            f"model: what {model!r} takes is not known to this provider; its operator can describe it in its settings.",
            param="model",
        )
    if override is None or base is None:
        return override or base or SpeechTraits()
    return base.model_copy(update={name: getattr(override, name) for name in override.model_fields_set})


def _known(model: str, models: Mapping[str, SpeechTraits]) -> SpeechTraits | None:
    return models.get(SNAPSHOT.sub("", model.removeprefix(MINIMAX_PREFIX)))


def _longest(model: str, overrides: Mapping[str, SpeechTraits]) -> SpeechTraits | None:
    if model in overrides:
        return overrides[model]
    fitting = [name for name in overrides if name.endswith("*") and model.startswith(name[:-1])]
    return overrides[max(fitting, key=len)] if fitting else None

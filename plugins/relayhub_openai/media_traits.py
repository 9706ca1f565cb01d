"""What models of speech, images and video take. The table knows OpenAI's own; of others little is assumed."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=0, le=64)]
Size = Annotated[str, Field(pattern=r"^[1-9]\d{1,4}x[1-9]\d{1,4}$")]
SpeechFormat = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]
FORMATS: tuple[SpeechFormat, ...] = ("mp3", "opus", "aac", "flac", "wav", "pcm")


class SpeechTraits(BaseModel):
    """What a speech model takes. Unset fields of a setting keep what relayhub knows."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    formats: tuple[SpeechFormat, ...] = Field(
        FORMATS, description="File formats it makes; the first is its own choice."
    )
    max_characters: int = Field(4096, ge=1, le=1_000_000, description="The longest text that it takes.")
    speed: bool = Field(True, description="Whether it takes a speed.")
    instructions: bool = Field(False, description="Whether it takes instructions.")
    events: bool = Field(
        False, description="Whether it can answer with events (stream_format: sse), which tell tokens."
    )
    parameters: tuple[str, ...] = Field((), description="Further fields that clients may set, sent as they are.")


class ImageTraits(BaseModel):
    """What an image model takes. Unset fields of a setting keep what relayhub knows."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    sizes: tuple[Size, ...] = Field((), description="Sizes it makes; none: any.")
    side_step: int = Field(1, ge=1, le=256, description="What sides must be a multiple of, where any size goes.")
    max_ratio: float = Field(16, ge=1, le=64, description="How much longer one side may be than the other.")
    max_pixels: int = Field(3840 * 2160, ge=1, description="The most pixels of an image.")
    auto_pixels: int = Field(1536 * 1024, ge=1, description="The most pixels where it picks the size itself.")
    qualities: tuple[str, ...] = Field(
        ("auto", "low", "medium", "high", "standard", "hd"), description="Values of quality that it takes."
    )
    count: int = Field(10, ge=1, le=100, description="How many images one call makes.")
    inputs: Count = Field(16, description="How many pictures it takes to edit.")
    mask: bool = Field(True, description="Whether it takes a mask.")
    backgrounds: tuple[str, ...] = Field(("auto", "opaque"), description="Values of background that it takes.")
    output_formats: tuple[str, ...] = Field(
        ("png",), description="File formats it writes; the first is its own choice."
    )
    response_format: bool = Field(False, description="Whether it must be told to answer with base64.")
    input_tokens: int = Field(8192, ge=0, le=1_000_000, description="The most tokens that an input picture costs.")
    parameters: tuple[str, ...] = Field((), description="Further fields that clients may set, sent as they are.")


class VideoTraits(BaseModel):
    """What a video model takes. Unset fields of a setting keep what relayhub knows."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    sizes: tuple[Size, ...] = Field((), description="Sizes it makes; none: any.")
    size: Size | None = Field(None, description="What is asked for when the client says nothing; none: its own choice.")
    seconds: tuple[int, ...] = Field((), description="Lengths it makes; none: any from min_s to max_s.")
    min_s: int = Field(1, ge=1, le=3600, description="The shortest clip, in seconds.")
    max_s: int = Field(60, ge=1, le=3600, description="The longest clip, in seconds.")
    default_s: int = Field(4, ge=1, le=3600, description="What is asked for when the client names no length.")
    image: bool = Field(True, description="Whether it takes a picture to begin with.")
    audio: bool | None = Field(None, description="Whether its clips have sound; unset: unknown.")
    remix: bool = Field(True, description="Whether it can remix a video that it made.")
    form: Literal["auto", "json"] = Field(
        "auto", description="auto: multipart as OpenAI's SDK sends it, JSON for links; json: always JSON."
    )
    parameters: tuple[str, ...] = Field((), description="Further fields that clients may set, sent as they are.")

    @property
    def longest_s(self) -> int:
        return max(self.seconds) if self.seconds else self.max_s


_GPT_SPEECH = SpeechTraits(instructions=True, events=True)
SPEECH_MODELS: Mapping[str, SpeechTraits] = {
    "gpt-*": _GPT_SPEECH,
    "*": SpeechTraits(),
}

_GPT_IMAGE = ImageTraits(
    sizes=("1024x1024", "1536x1024", "1024x1536"),
    qualities=("auto", "low", "medium", "high"),
    backgrounds=("auto", "opaque", "transparent"),
    output_formats=("png", "jpeg", "webp"),
    parameters=("output_compression", "input_fidelity", "moderation"),
)
_GPT_IMAGE_2 = _GPT_IMAGE.model_copy(update={"sizes": (), "side_step": 16, "max_ratio": 3.0})
IMAGE_MODELS: Mapping[str, ImageTraits] = {
    "gpt-image-1*": _GPT_IMAGE,
    "chatgpt-image-*": _GPT_IMAGE,
    "gpt-image-2.5*": _GPT_IMAGE_2.model_copy(update={"qualities": ("auto", "low", "medium", "high", "xhigh", "max")}),
    "gpt-image-*": _GPT_IMAGE_2,
    "dall-e-3*": ImageTraits(
        sizes=("1024x1024", "1792x1024", "1024x1792"),
        auto_pixels=1792 * 1024,
        qualities=("standard", "hd"),
        count=1,
        inputs=0,
        mask=False,
        response_format=True,
        parameters=("style",),
    ),
    "*": ImageTraits(),
}

_SORA = VideoTraits(sizes=("720x1280", "1280x720"), size="720x1280", seconds=(4, 8, 12), audio=True, min_s=4, max_s=12)
VIDEO_MODELS: Mapping[str, VideoTraits] = {
    "sora-2-pro*": _SORA.model_copy(
        update={"sizes": (*_SORA.sizes, "1024x1792", "1792x1024", "1080x1920", "1920x1080")}
    ),
    "sora-2*": _SORA,
    "*": VideoTraits(),
}
"""Pattern → traits; the first that fits counts."""

TraitsT = TypeVar("TraitsT", SpeechTraits, ImageTraits, VideoTraits)


def traits_of(model: str, known: Mapping[str, TraitsT], overrides: Mapping[str, TraitsT]) -> TraitsT:
    """The table's, changed by what the longest setting that fits says."""
    base = next(traits for pattern, traits in known.items() if fnmatchcase(model, pattern))
    fitting = [pattern for pattern in overrides if fnmatchcase(model, pattern)]
    if not fitting:
        return base
    own = overrides[max(fitting, key=len)]
    return base.model_copy(update={name: getattr(own, name) for name in own.model_fields_set})

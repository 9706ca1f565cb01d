"""What each model takes. The tables are of the date in the README; the settings override them model by model."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from relayhub.sdk import invalid_request

Resolution = Literal["480p", "720p", "1080p"]
ImageSize = Literal["1k", "2k", "4k"]
Count = Annotated[int, Field(ge=0, le=100)]
Seconds = Annotated[int, Field(ge=1, le=600)]
Pixels = Annotated[int, Field(ge=1)]

RATIOS = ("16:9", "9:16", "1:1", "4:3", "3:4")
MORE_RATIOS = (*RATIOS, "4:5", "5:4", "9:21", "21:9")


class VideoTraits(BaseModel):
    """What a video model takes. Unset fields of a setting keep what relayhub knows."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    like: str | None = Field(None, description="A model whose traits these start from, for new models.")
    resolutions: tuple[Resolution, ...] = Field(("720p", "1080p"), description="Resolutions it makes.")
    resolution: Resolution = Field("1080p", description="What is asked for when the client names none.")
    ratios: tuple[str, ...] = Field((), description="Ratios it takes; none where the shape follows the input.")
    prompt: bool = Field(True, description="Whether it needs a prompt.")
    first_frame: bool = Field(False, description="Whether it needs a picture to begin with.")
    source_video: bool = Field(False, description="Whether it edits a video.")
    min_references: Count = Field(0, description="How many reference images it needs.")
    max_references: Count = Field(0, description="How many reference images it takes.")
    timed: bool = Field(True, description="Whether it takes a length; an edit is as long as its source.")
    min_s: Seconds = Field(3, description="The shortest clip, in seconds.")
    max_s: Seconds = Field(15, description="The longest clip, in seconds. Of an edit's source no more is used.")
    audio_setting: bool = Field(False, description="Whether it takes audio_setting.")


class ImageTraits(BaseModel):
    """What an image model takes. Unset fields of a setting keep what relayhub knows."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    like: str | None = Field(None, description="A model whose traits these start from, for new models.")
    at_once: bool = Field(True, description="Whether images are asked for in one call; otherwise by a task.")
    count: Count = Field(1, description="How many images one call may make.")
    min_inputs: Count = Field(0, description="How many images it needs.")
    max_inputs: Count = Field(0, description="How many images it takes.")
    sizes: tuple[str, ...] = Field((), description="The only sizes (WxH) it makes, the first by default; none: any.")
    named: tuple[ImageSize, ...] = Field((), description="Sizes that it takes by name.")
    sized: bool = Field(True, description="Whether it takes a size.")
    min_pixels: Pixels = Field(512 * 512, description="The fewest pixels of an image.")
    max_pixels: Pixels = Field(2048 * 2048, description="The most pixels of an image.")
    max_edit_pixels: Pixels | None = Field(None, description="The same where images go in.")
    min_side: Pixels = Field(1, description="The shortest side, in pixels.")
    max_side: Pixels = Field(16_384, description="The longest side, in pixels.")
    longest: float = Field(8, ge=1, description="The longer side is at most so many times the shorter one.")
    pixels: Pixels = Field(1024 * 1024, description="About how many are asked for when the client names no size.")
    negative_prompt: bool = Field(True, description="Whether it takes a negative prompt.")
    watermark: bool = Field(True, description="Whether it takes a watermark.")
    thinking: bool = Field(False, description="Whether it takes thinking_mode.")


_TEXT = VideoTraits(ratios=RATIOS)
_FRAME = VideoTraits(prompt=False, first_frame=True)
_REFERENCES = VideoTraits(ratios=RATIOS, min_references=1, max_references=9)
_NEWER: Mapping[str, object] = {"resolutions": ("480p", "720p", "1080p")}

VIDEO_MODELS: Mapping[str, VideoTraits] = MappingProxyType(
    {
        "happyhorse-1.0-t2v": _TEXT,
        "happyhorse-1.0-i2v": _FRAME,
        "happyhorse-1.0-r2v": _REFERENCES,
        "happyhorse-1.0-video-edit": VideoTraits(source_video=True, max_references=5, timed=False, audio_setting=True),
        "happyhorse-1.1-t2v": _TEXT.model_copy(update={**_NEWER, "ratios": MORE_RATIOS}),
        "happyhorse-1.1-i2v": _FRAME.model_copy(update=_NEWER),
        "happyhorse-1.1-r2v": _REFERENCES.model_copy(update={**_NEWER, "ratios": MORE_RATIOS}),
    }
)
FAMILIES = frozenset({"happyhorse-1.0", "happyhorse-1.1"})
"""Names that stand for whichever of their models fits what goes in."""

_FIXED = ("1328x1328", "1664x928", "1472x1104", "1104x1472", "928x1664")
_QWEN = ImageTraits(count=6, max_inputs=3)
_QWEN_EDIT = _QWEN.model_copy(update={"min_inputs": 1, "min_side": 512, "max_side": 2048})
_WAN = ImageTraits(
    at_once=False,
    count=4,
    max_inputs=9,
    named=("1k", "2k"),
    min_pixels=768 * 768,
    pixels=2048 * 2048,
    negative_prompt=False,
    thinking=True,
)

IMAGE_MODELS: Mapping[str, ImageTraits] = MappingProxyType(
    {
        "qwen-image": ImageTraits(sizes=_FIXED),
        "qwen-image-plus": ImageTraits(sizes=_FIXED),
        "qwen-image-max": ImageTraits(sizes=_FIXED),
        "qwen-image-2.0": _QWEN,
        "qwen-image-3.0": _QWEN.model_copy(update={"max_pixels": 2560 * 2560}),
        "qwen-image-edit": _QWEN_EDIT.model_copy(update={"count": 1, "sized": False}),
        "qwen-image-edit-plus": _QWEN_EDIT,
        "qwen-image-edit-max": _QWEN_EDIT,
        "z-image": ImageTraits(negative_prompt=False, watermark=False),
        "wan2.6-t2i": _WAN.model_copy(
            update={
                "max_inputs": 0,
                "named": (),
                "min_pixels": 1280 * 1280,
                "max_pixels": 1440 * 1440,
                "pixels": 1280 * 1280,
                "longest": 4,
                "negative_prompt": True,
                "thinking": False,
            }
        ),
        "wan2.7-image": _WAN,
        "wan2.7-image-pro": _WAN.model_copy(
            update={"named": ("1k", "2k", "4k"), "max_pixels": 4096 * 4096, "max_edit_pixels": 2048 * 2048}
        ),
    }
)

TraitsT = TypeVar("TraitsT", VideoTraits, ImageTraits)


def traits_of(model: str, known: Mapping[str, TraitsT], overrides: Mapping[str, TraitsT]) -> TraitsT:
    """Of the longest name that ``model`` begins with, changed by the longest override that fits (exact, or with a final
    ``*``). Raises ``ClientError`` naming the model if nothing is known of it."""
    override = _longest(model, overrides)
    base = _longest_prefix(override.like if override and override.like else model, known)
    if base is None and override is None:
        raise invalid_request(
            f"model: what {model!r} takes is not known to this provider; its operator can describe it in its settings.",
            param="model",
        )
    if override is None:
        assert base is not None
        return base
    changes = {name: getattr(override, name) for name in override.model_fields_set}
    return base.model_copy(update=changes) if base is not None else override


def _longest_prefix(model: str, known: Mapping[str, TraitsT]) -> TraitsT | None:
    fitting = [name for name in known if model == name or model.startswith(f"{name}-")]
    return known[max(fitting, key=len)] if fitting else None


def _longest(model: str, overrides: Mapping[str, TraitsT]) -> TraitsT | None:
    if model in overrides:
        return overrides[model]
    fitting = [name for name in overrides if name.endswith("*") and model.startswith(name[:-1])]
    return overrides[max(fitting, key=len)] if fitting else None

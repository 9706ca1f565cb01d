"""What each model takes. The tables are of the date in the README; the settings override them model by model."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from relayhub.sdk import invalid_request

Resolution = Literal["720p", "1080p", "4k"]
ImageSize = Literal["1k", "2k", "4k"]
Count = Annotated[int, Field(ge=0, le=100)]
Seconds = Annotated[int, Field(ge=1, le=600)]

MODES: Mapping[str, Resolution] = MappingProxyType({"std": "720p", "pro": "1080p", "4k": "4k"})
"""What the classic API calls the resolutions."""


class VideoTraits(BaseModel):
    """What a video model takes. Unset fields of a setting keep what relayhub knows."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    like: str | None = Field(None, description="A model whose traits these start from, for new models.")
    api: Literal["classic", "second"] = Field(
        "classic", description="The generation of the API that serves it: classic (/v1/…) or second (/text-to-video/…)."
    )
    upstream_name: str | None = Field(None, description="What the upstream calls it; default: the model's own name.")
    resolutions: tuple[Resolution, ...] = Field(
        ("720p", "1080p"), min_length=1, description="Resolutions it makes, the cheapest first: 720p is std, 1080p pro."
    )
    seconds: tuple[Seconds, ...] = Field(
        (5, 10), min_length=1, description="Lengths it makes; where a client names none: 5 seconds, else the first."
    )
    text: bool = Field(True, description="Whether it makes videos from a prompt alone.")
    first_frame: bool = Field(True, description="Whether it takes a first frame.")
    last_frame: tuple[Resolution, ...] = Field((), description="Resolutions in which it takes a last frame.")
    references: Count = Field(0, description="How many reference images it takes.")
    omni: bool = Field(False, description="Whether it is served by omni-video: frames, references and clips together.")
    clips: bool = Field(False, description="Whether it takes a video, to edit or to follow (omni only).")
    clip_s: Seconds = Field(10, description="Seconds that such a video has at most; what is made of it is as long.")
    audio: tuple[Resolution, ...] = Field((), description="Resolutions in which it makes sound.")
    negative_prompt: bool = Field(True, description="Whether it takes a negative prompt.")
    cfg_scale: bool = Field(False, description="Whether it takes cfg_scale.")
    camera: tuple[Resolution, ...] = Field((), description="Resolutions in which it takes camera_control (5 seconds).")
    voices: Count = Field(0, description="How many voices voice_list may have; a voice may cost extra.")
    shots: bool = Field(False, description="Whether it takes multi_shot, shot_type and multi_prompt.")
    elements: bool = Field(False, description="Whether it takes element_list.")
    extends: bool = Field(False, description="Whether it extends a video that it made (video_id).")


class ImageTraits(BaseModel):
    """What an image model takes. Unset fields of a setting keep what relayhub knows."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    like: str | None = Field(None, description="A model whose traits these start from, for new models.")
    resolutions: tuple[ImageSize, ...] = Field(
        ("1k",), min_length=1, description="Sizes it makes, its own choice first."
    )
    most: Count = Field(9, description="How many images one call may make.")
    image: bool = Field(True, description="Whether it takes an image to start from.")
    references: Count = Field(0, description="How many reference images it takes.")
    omni: bool = Field(False, description="Whether it is served by omni-image.")
    subject: bool = Field(False, description="Whether it takes image_reference, image_fidelity and human_fidelity.")


_LATE = VideoTraits(last_frame=("1080p",))
_THREE = VideoTraits(
    resolutions=("720p", "1080p", "4k"),
    seconds=tuple(range(3, 16)),
    last_frame=("720p", "1080p", "4k"),
    audio=("720p", "1080p", "4k"),
    shots=True,
    elements=True,
)
_OMNI = _THREE.model_copy(update={"omni": True, "clips": True, "references": 7, "negative_prompt": False})
_SECOND = _THREE.model_copy(update={"api": "second", "negative_prompt": False, "elements": False})

VIDEO_MODELS: Mapping[str, VideoTraits] = MappingProxyType(
    {
        "kling-v1": VideoTraits(last_frame=("720p", "1080p"), cfg_scale=True, camera=("720p",), extends=True),
        "kling-v1-5": VideoTraits(text=False, last_frame=("1080p",), cfg_scale=True, camera=("1080p",), extends=True),
        "kling-v1-6": VideoTraits(last_frame=("1080p",), references=4, cfg_scale=True, extends=True),
        "kling-v2-master": VideoTraits(),
        "kling-v2-1": _LATE.model_copy(update={"text": False}),
        "kling-v2-1-master": VideoTraits(),
        "kling-v2-5-turbo": _LATE,
        "kling-v2-6": _LATE.model_copy(update={"audio": ("1080p",)}),
        "kling-v3": _THREE,
        "kling-video-o1": _OMNI.model_copy(
            update={"resolutions": ("720p", "1080p"), "seconds": tuple(range(3, 11)), "audio": (), "shots": False}
        ),
        "kling-v3-omni": _OMNI,
        "kling-3.0": _SECOND,
        "kling-3.0-turbo": _SECOND.model_copy(update={"resolutions": ("720p", "1080p")}),
        "kling-v3-turbo": _SECOND.model_copy(
            update={"resolutions": ("720p", "1080p"), "upstream_name": "kling-3.0-turbo"}
        ),
        "kling-3.0-omni": _SECOND.model_copy(update={"omni": True, "clips": True, "references": 7, "elements": True}),
    }
)

_TWO_K = ImageTraits(resolutions=("1k", "2k"))

IMAGE_MODELS: Mapping[str, ImageTraits] = MappingProxyType(
    {
        "kling-v1": ImageTraits(),
        "kling-v1-5": ImageTraits(subject=True),
        "kling-v2": _TWO_K.model_copy(update={"references": 4}),
        "kling-v2-new": ImageTraits(),
        "kling-v2-1": _TWO_K.model_copy(update={"references": 4}),
        "kling-v3": _TWO_K,
        "kling-image-o1": _TWO_K.model_copy(update={"references": 10, "omni": True}),
        "kling-v3-omni": ImageTraits(resolutions=("1k", "2k", "4k"), references=10, omni=True),
    }
)

TraitsT = TypeVar("TraitsT", VideoTraits, ImageTraits)


def traits_of(model: str, known: Mapping[str, TraitsT], overrides: Mapping[str, TraitsT]) -> TraitsT:
    """Of exactly this name, changed by the longest override that fits (exact, or with a final ``*``): Kling's names have
    no dates, and ``kling-v2-1-master`` is not ``kling-v2-1``. Raises ``ClientError`` naming the model if nothing is
    known of it."""
    override = _longest(model, overrides)
    base = known.get(override.like if override and override.like else model)
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


def _longest(model: str, overrides: Mapping[str, TraitsT]) -> TraitsT | None:
    if model in overrides:
        return overrides[model]
    fitting = [name for name in overrides if name.endswith("*") and model.startswith(name[:-1])]
    return overrides[max(fitting, key=len)] if fitting else None

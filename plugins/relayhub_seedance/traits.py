"""What each model takes. The tables are of the date in the README; the settings override them model by model."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from relayhub.sdk import invalid_request

Resolution = Literal["480p", "720p", "1080p", "4k"]
ImageSize = Literal["1k", "2k", "3k", "4k"]
Count = Annotated[int, Field(ge=0, le=100)]
Seconds = Annotated[int, Field(ge=1, le=600)]

VENDOR_PREFIXES = ("doubao-", "dreamina-")
"""Ark and BytePlus sell the same models under different names."""


class VideoTraits(BaseModel):
    """What a video model takes. Unset fields of a setting keep what relayhub knows."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    like: str | None = Field(
        None, description="A model whose traits these start from, for endpoint ids and new models."
    )
    resolutions: tuple[Resolution, ...] = Field(("480p", "720p", "1080p"), description="Resolutions it makes.")
    resolution: Resolution = Field("720p", description="What is asked for when the client names none.")
    min_s: Seconds = Field(4, description="The shortest clip, in seconds.")
    max_s: Seconds = Field(12, description="The longest clip, in seconds.")
    auto_s: bool = Field(False, description="Whether it picks the length itself when asked for -1 seconds.")
    text: bool = Field(True, description="Whether it makes videos from a prompt alone.")
    audio: bool = Field(False, description="Whether it makes sound.")
    first_frame: bool = Field(True, description="Whether it takes a first frame.")
    last_frame: bool = Field(True, description="Whether it takes a last frame beside the first.")
    reference_images: Count = Field(0, description="How many reference images it takes.")
    reference_videos: Count = Field(0, description="How many reference videos it takes.")
    reference_audios: Count = Field(0, description="How many reference audios it takes.")
    reference_s: int = Field(15, ge=0, le=600, description="Seconds of video that all reference videos have together.")
    audio_alone: bool = Field(False, description="Whether reference audio may come without image and video.")
    adaptive_text: bool = Field(True, description="Whether the ratio may be adaptive without any input.")
    adaptive_references: bool = Field(True, description="Whether the ratio may be adaptive with references.")
    adaptive_only: bool = Field(False, description="Whether frames, edits and extensions take no other ratio.")
    frames: bool = Field(False, description="Whether it takes a number of frames in place of seconds.")
    seed: bool = Field(False, description="Whether it takes a seed.")
    camera_fixed: bool = Field(False, description="Whether it takes camera_fixed.")
    flex: bool = Field(False, description="Whether it serves the flex tier.")
    priority: bool = Field(False, description="Whether it takes a priority.")
    draft: bool = Field(False, description="Whether it makes drafts.")
    web_search: bool = Field(False, description="Whether clients may let it search the web, which costs extra.")
    output_formats: tuple[str, ...] = Field(("mp4",), description="File formats it writes.")
    task_types: tuple[str, ...] = Field((), description="Values of omni_reference_task_type that it takes.")


class ImageTraits(BaseModel):
    """What an image model takes. Unset fields of a setting keep what relayhub knows."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    like: str | None = Field(
        None, description="A model whose traits these start from, for endpoint ids and new models."
    )
    sizes: tuple[ImageSize, ...] = Field(("2k", "4k"), description="Sizes that it takes by name.")
    size: str = Field("2k", description="What is asked for when the client names none: a name, or WxH.")
    min_pixels: int = Field(2560 * 1440, ge=1, description="The fewest pixels of an image.")
    max_pixels: int = Field(4096 * 4096, ge=1, description="The most pixels of an image.")
    inputs: Count = Field(14, description="How many images it takes.")
    needs_input: bool = Field(False, description="Whether it only edits.")
    together: Count = Field(15, description="How many images, taken and made, one call may have; 0: it makes one.")
    seed: bool = Field(False, description="Whether it takes a seed.")
    guidance_scale: bool = Field(False, description="Whether it takes guidance_scale.")
    output_formats: tuple[str, ...] = Field(
        ("jpeg",), description="File formats it writes; the first is its own choice."
    )
    prompt_modes: tuple[str, ...] = Field(("standard",), description="Values of optimize_prompt_options.mode.")


_ONE = VideoTraits(
    min_s=2,
    adaptive_text=False,
    frames=True,
    seed=True,
    camera_fixed=True,
    flex=True,
)
_TWO = VideoTraits(
    max_s=15,
    auto_s=True,
    audio=True,
    reference_images=9,
    reference_videos=3,
    reference_audios=3,
    priority=True,
)

VIDEO_MODELS: Mapping[str, VideoTraits] = MappingProxyType(
    {
        "seedance-1-0-pro": _ONE.model_copy(update={"resolution": "1080p"}),
        "seedance-1-0-pro-fast": _ONE.model_copy(update={"resolution": "1080p", "last_frame": False}),
        "seedance-1-0-lite-t2v": _ONE.model_copy(update={"first_frame": False, "last_frame": False}),
        "seedance-1-0-lite-i2v": _ONE.model_copy(
            update={"text": False, "reference_images": 4, "adaptive_references": False}
        ),
        "seedance-1-5-pro": VideoTraits(audio=True, seed=True, camera_fixed=True, flex=True, draft=True),
        "seedance-2-0": _TWO.model_copy(update={"resolutions": ("480p", "720p", "1080p", "4k")}),
        "seedance-2-0-fast": _TWO.model_copy(update={"resolutions": ("480p", "720p")}),
        "seedance-2-0-mini": _TWO.model_copy(update={"resolutions": ("480p", "720p")}),
        "seedance-2-5": _TWO.model_copy(
            update={
                "max_s": 30,
                "reference_images": 30,
                "reference_videos": 10,
                "reference_audios": 10,
                "reference_s": 30,
                "audio_alone": True,
                "adaptive_only": True,
                "draft": True,
                "output_formats": ("mp4", "mov"),
                "task_types": ("auto", "reference", "edit", "extend"),
            }
        ),
    }
)

IMAGE_MODELS: Mapping[str, ImageTraits] = MappingProxyType(
    {
        "seedream-3-0-t2i": ImageTraits(
            sizes=(),
            size="1024x1024",
            min_pixels=512 * 512,
            max_pixels=2048 * 2048,
            inputs=0,
            together=0,
            seed=True,
            guidance_scale=True,
            prompt_modes=(),
        ),
        "seededit-3-0-i2i": ImageTraits(
            sizes=(),
            size="adaptive",
            inputs=1,
            needs_input=True,
            together=0,
            seed=True,
            guidance_scale=True,
            prompt_modes=(),
        ),
        "seedream-4-0": ImageTraits(sizes=("1k", "2k", "4k"), min_pixels=1280 * 720, prompt_modes=("standard", "fast")),
        "seedream-4-5": ImageTraits(),
        "seedream-5-0": ImageTraits(sizes=("2k", "3k"), max_pixels=3072 * 3072, output_formats=("jpeg", "png")),
    }
)

TraitsT = TypeVar("TraitsT", VideoTraits, ImageTraits)


def traits_of(model: str, known: Mapping[str, TraitsT], overrides: Mapping[str, TraitsT]) -> TraitsT:
    """Of the longest name that ``model`` begins with, changed by the longest override that fits (exact, or with a final
    ``*``). Raises ``ClientError`` naming the model if nothing is known of it."""
    override = _longest(model, overrides)
    base = _longest_prefix(_plain(override.like if override and override.like else model), known)
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


def _plain(model: str) -> str:
    for prefix in VENDOR_PREFIXES:
        model = model.removeprefix(prefix)
    return model


def _longest_prefix(model: str, known: Mapping[str, TraitsT]) -> TraitsT | None:
    fitting = [name for name in known if model == name or model.startswith(f"{name}-")]
    return known[max(fitting, key=len)] if fitting else None


def _longest(model: str, overrides: Mapping[str, TraitsT]) -> TraitsT | None:
    if model in overrides:
        return overrides[model]
    fitting = [name for name in overrides if name.endswith("*") and model.startswith(name[:-1])]
    return overrides[max(fitting, key=len)] if fitting else None

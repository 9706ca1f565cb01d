"""What is known of Gemini's image models. Checked 2026-11-20 against Google's documentation of image generation."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from relayhub_gemini.refusal import refuse

ImageSize = Literal["1k", "2k", "4k"]
Tokens = Annotated[int, Field(ge=0, le=1_000_000)]
RATIOS = ("1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9")
LONG_RATIOS = ("1:4", "4:1", "1:8", "8:1")


class ImageTraits(BaseModel):
    """What an image model takes. Unset fields of a setting keep what relayhub knows."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    ratios: tuple[str, ...] = Field(RATIOS, description="Aspect ratios that it takes.")
    tokens: dict[ImageSize, Tokens] = Field(
        {"1k": 1120}, description="Image sizes that it makes, and the output tokens that an image of each costs."
    )
    sized: bool = Field(True, description="Whether it is told the size (imageSize); without it there is one only.")
    inputs: int = Field(14, ge=0, le=64, description="How many pictures it takes.")
    input_tokens: Tokens = Field(4096, description="The most tokens that an input picture costs.")
    seed: bool = Field(True, description="Whether it takes a seed.")


_NEWEST = ImageTraits(ratios=RATIOS + LONG_RATIOS, tokens={"1k": 1120, "2k": 1680, "4k": 2520})
TRAITS: tuple[tuple[str, ImageTraits], ...] = (
    ("gemini-2.0-*image*", ImageTraits(ratios=(), tokens={"1k": 1290}, sized=False, inputs=3)),
    ("gemini-2.5-*image*", ImageTraits(tokens={"1k": 1290}, sized=False, inputs=3)),
    ("gemini-3-pro-image*", ImageTraits(tokens={"1k": 1120, "2k": 1120, "4k": 2000})),
    ("gemini-*image*", _NEWEST),
)
"""Pattern → traits; the first that fits counts. A new image model is taken to be like the newest known."""


def image_traits_of(model: str, overrides: Mapping[str, ImageTraits]) -> ImageTraits:
    """The operator's word first, then the table's. ``model`` may have its ``models/`` in front. Raises ``ClientError``
    naming the model if it is not known to make images."""
    name = model.removeprefix("models/")
    known = next((traits for pattern, traits in TRAITS if fnmatchcase(name, pattern)), None)
    fitting = [pattern for pattern in overrides if fnmatchcase(name, pattern)]
    if not fitting:
        return known or refuse("model", f"{name!r} is not known to make images; its operator can describe it.")
    own = overrides[max(fitting, key=len)]
    base = known or ImageTraits()
    return base.model_copy(update={field: getattr(own, field) for field in own.model_fields_set})

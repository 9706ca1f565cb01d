"""An image request in Gemini's terms: every parameter checked, none left out in silence."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from relayhub.sdk import ImageRequest, InputRole, MediaInput, MediaUsage
from relayhub_gemini.image_traits import ImageSize, ImageTraits
from relayhub_gemini.pictures import picture
from relayhub_gemini.refusal import refuse

WXH = re.compile(r"([1-9]\d{1,4})x([1-9]\d{1,4})")
ALIKE = 0.03
"""Two shapes are the same up to this part of them: an image of 16:9 has sides that are multiples of something."""
LONG_SIDES: Mapping[ImageSize, int] = {"1k": 1792, "2k": 3072, "4k": 6400}
"""Up to which longer side a size in pixels counts as which."""
QUALITIES: Mapping[str, ImageSize] = {
    "auto": "1k",
    "low": "1k",
    "medium": "1k",
    "standard": "1k",
    "high": "2k",
    "hd": "2k",
}
MAX_SEED = 2**31 - 1
SPARE_TOKENS = 64


@dataclass(frozen=True, slots=True)
class Asked:
    """``parts`` of the one message; ``config``: the ``generationConfig``, without a seed."""

    parts: list[dict[str, object]]
    config: Mapping[str, object]
    usage: MediaUsage


def asked(request: ImageRequest, traits: ImageTraits) -> Asked:
    """Raises ``ClientError`` naming what the model cannot honour. ``usage``: at most."""
    if not request.prompt.strip():
        refuse("prompt", "it is empty.")
    if request.count != 1:
        refuse("n", "this upstream makes one image at a time; ask as often as you want one.")
    _refuse_unknown(request)
    _seed(request, traits)
    inputs = [_part(given, index, traits) for index, given in enumerate(request.inputs)]
    ratio, size = _ratio(request, traits), _size(request, traits)
    shape = {**({"aspectRatio": ratio} if ratio else {}), **({"imageSize": size.upper()} if traits.sized else {})}
    config = {"responseModalities": ["TEXT", "IMAGE"], **({"imageConfig": shape} if shape else {})}
    usage = MediaUsage(
        images=1,
        input_tokens=_prompt_tokens(request) + len(inputs) * traits.input_tokens,
        output_tokens=traits.tokens[size],
        resolution=size,
        quality=request.quality,
        input_kind="image" if inputs else "text",
    )
    return Asked([*inputs, {"text": request.prompt}], config, usage)


def _prompt_tokens(request: ImageRequest) -> int:
    """No token is shorter than a byte."""
    return len(request.prompt.encode("utf-8", "replace")) + SPARE_TOKENS


def _seed(request: ImageRequest, traits: ImageTraits) -> None:
    if request.seed is not None and not (traits.seed and 0 <= request.seed <= MAX_SEED):
        refuse("seed", f"it must be from 0 to {MAX_SEED}." if traits.seed else "this model does not take it.")


def _refuse_unknown(request: ImageRequest) -> None:
    if request.negative_prompt:
        refuse("negative_prompt", "this upstream has none; say in the prompt what should not be seen.")
    if request.watermark:
        refuse("watermark", "this upstream has only a mark that cannot be seen, and it is always there.")
    if request.background not in (None, "auto", "opaque"):
        refuse("background", "this upstream makes opaque images only.")
    if request.output_format is not None:
        refuse("output_format", "this upstream picks the file format itself.")
    for name, value in request.vendor.items():
        if value is not None:
            refuse(name, "this upstream does not know it, or relayhub does not pass it on.")


def _part(given: MediaInput, index: int, traits: ImageTraits) -> dict[str, object]:
    if given.role not in (InputRole.IMAGE, InputRole.REFERENCE_IMAGE):
        refuse(given.field, f"this upstream takes no {given.role.replace('_', ' ')} for images.")
    if index >= traits.inputs:
        refuse(given.field, f"this model takes {traits.inputs or 'no'} pictures.")
    return picture(given)


def _ratio(request: ImageRequest, traits: ImageTraits) -> str | None:
    if request.size not in (None, "auto") and (request.ratio or request.resolution):
        refuse("size", "give a size, or a resolution and a ratio, not both.")
    if request.ratio is not None:
        if request.ratio not in traits.ratios:
            refuse("ratio", f"this model takes {', '.join(traits.ratios) or 'none'}.")
        return request.ratio
    if request.size in (None, "auto"):
        return None
    width, height = _sides(request.size)
    fitting = [ratio for ratio in traits.ratios if abs(width / height / _value(ratio) - 1) <= ALIKE]
    if not fitting:
        refuse("size", f"this model makes images of {', '.join(traits.ratios) or 'its own shape'} only.")
    return fitting[0]


def _size(request: ImageRequest, traits: ImageTraits) -> ImageSize:
    """The larger of what the size and the quality ask for."""
    wanted: list[tuple[str, ImageSize]] = [("size", "1k")]
    if request.resolution is not None:
        named = next((size for size in LONG_SIDES if size == request.resolution.lower()), None)
        wanted.append(("resolution", named or _no_size("resolution", traits)))
    if request.size not in (None, "auto"):
        long = max(_sides(request.size))
        named = next((size for size, most in LONG_SIDES.items() if long <= most), None)
        wanted.append(("size", named or _no_size("size", traits)))
    if request.quality is not None:
        if request.quality not in QUALITIES:
            refuse("quality", f"it must be one of {', '.join(QUALITIES)}.")
        wanted.append(("quality", QUALITIES[request.quality]))
    param, size = max(wanted, key=lambda one: LONG_SIDES[one[1]])
    return size if size in traits.tokens else _no_size(param, traits)


def _no_size(param: str, traits: ImageTraits) -> NoReturn:
    refuse(param, f"this model makes images of {', '.join(size.upper() for size in traits.tokens)} only.")


def _sides(size: str | None) -> tuple[int, int]:
    found = WXH.fullmatch(size or "")
    if found is None:
        refuse("size", "it must be width x height in pixels, such as 1024x1024.")
    return int(found[1]), int(found[2])


def _value(ratio: str) -> float:
    width, _, height = ratio.partition(":")
    return int(width) / int(height)

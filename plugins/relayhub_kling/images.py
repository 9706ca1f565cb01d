"""An image request in Kling's terms. Images are jobs too."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from relayhub.sdk import ImageRequest, InputRole, MediaInput, MediaRequest, MediaUsage, invalid_request
from relayhub_kling.asked import Api, Asked
from relayhub_kling.inputs import picture
from relayhub_kling.refusal import number, one_of, refusal, refuse
from relayhub_kling.settings import KlingSettings
from relayhub_kling.terms import MAX_PROMPT
from relayhub_kling.traits import IMAGE_MODELS, ImageTraits, traits_of

GENERATE = "/v1/images/generations"
REFERENCES = "/v1/images/multi-image2image"
OMNI = "/v1/images/omni-image"

RATIOS: Mapping[str, float] = {
    "16:9": 16 / 9,
    "9:16": 9 / 16,
    "1:1": 1.0,
    "4:3": 4 / 3,
    "3:4": 3 / 4,
    "3:2": 3 / 2,
    "2:3": 2 / 3,
    "21:9": 21 / 9,
}
NEAR = 0.02
"""How much a size may be off a ratio: 1792x1024 is 16:9."""
WXH = re.compile(r"(\d{2,5})x(\d{2,5})")
SIDES: Mapping[str, int] = {"1k": 1024, "2k": 2048, "4k": 4096}
ROOM = 1.6
"""Above the square of such a side, for shapes that are wider: 1536x1024 is 1k."""
QUALITIES: Mapping[str, str | None] = {
    "auto": None,
    "low": None,
    "medium": None,
    "standard": None,
    "high": "2k",
    "hd": "2k",
}


def asked_image(model: str, request: MediaRequest, settings: KlingSettings) -> Asked:
    """Raises ``ClientError`` naming what the model cannot honour."""
    if not isinstance(request, ImageRequest):
        raise invalid_request("model: this one makes images only.", param="model")
    traits = traits_of(model, IMAGE_MODELS, settings.image_traits)
    resolution, ratio = _shape(request, traits)
    path = OMNI if traits.omni else REFERENCES if len(request.inputs) > 1 else GENERATE
    body = {
        "model_name": model,
        **_prompts(request),
        **_inputs(path, request.inputs, traits),
        "n": _count(request, traits),
        "aspect_ratio": ratio,
        "resolution": resolution,
        **_own(path, request, traits),
    }
    _check_rest(request)
    usage = MediaUsage(
        images=request.count,
        resolution=resolution,
        quality=request.quality,
        input_kind="image" if request.inputs else "text",
    )
    return Asked(Api.CLASSIC, path, body, usage)


def _prompts(request: ImageRequest) -> dict[str, object]:
    if not request.prompt.strip():
        refuse("prompt", "it is empty.")
    for name, said in (("prompt", request.prompt), ("negative_prompt", request.negative_prompt or "")):
        if len(said) > MAX_PROMPT:
            refuse(name, f"it must have at most {MAX_PROMPT} characters.")
    if not request.negative_prompt:
        return {"prompt": request.prompt}
    if request.inputs:
        refuse("negative_prompt", "this upstream takes none beside an image.")
    return {"prompt": request.prompt, "negative_prompt": request.negative_prompt}


def _inputs(path: str, inputs: Sequence[MediaInput], traits: ImageTraits) -> dict[str, object]:
    most = max(traits.references, int(traits.image))
    for index, given in enumerate(inputs):
        if given.role not in (InputRole.IMAGE, InputRole.REFERENCE_IMAGE):
            refuse(given.field, f"this upstream takes no {given.role.replace('_', ' ')} for images.")
        if index >= most:
            refuse(given.field, f"this model takes {most or 'no'} images.")
    if not inputs:
        return {}
    pictures = [picture(given) for given in inputs]
    return {"image": pictures[0]} if path == GENERATE else {"image_list": [{"image": one} for one in pictures]}


def _count(request: ImageRequest, traits: ImageTraits) -> int:
    if not 1 <= request.count <= traits.most:
        refuse("n", f"this model makes 1 to {traits.most} images at a time.")
    return request.count


# --- size -------------------------------------------------------------------------------------------------------------


def _shape(request: ImageRequest, traits: ImageTraits) -> tuple[str, str]:
    """Resolution and ratio."""
    size = None if request.size in (None, "auto") else request.size
    if size is not None:
        if request.ratio or request.resolution:
            refuse("size", "give a size, or a resolution and a ratio, not both.")
        return _of_size(size, traits)
    by_quality = QUALITIES[one_of("quality", request.quality or "auto", QUALITIES)]
    if request.resolution is None and by_quality is not None:
        one_of("quality", by_quality, traits.resolutions)
    said = (request.resolution or by_quality or traits.resolutions[0]).lower()
    return one_of("resolution", said, traits.resolutions), one_of("ratio", request.ratio or "1:1", RATIOS)


def _of_size(size: str, traits: ImageTraits) -> tuple[str, str]:
    found = WXH.fullmatch(size)
    if found is None:
        refuse("size", "it must be width x height, such as 1024x1024.")
    width, height = int(found[1]), int(found[2])
    shape = width / height if height else 0.0
    ratio = next((name for name, value in RATIOS.items() if abs(shape / value - 1) <= NEAR), None)
    if ratio is None:
        refuse("size", f"its shape must be one of {', '.join(RATIOS)}.")
    resolution = next((name for name, side in SIDES.items() if width * height <= side * side * ROOM), None)
    if resolution not in traits.resolutions:
        refuse("size", f"this model makes {', '.join(traits.resolutions)}.")
    return str(resolution), ratio


# --- the rest ---------------------------------------------------------------------------------------------------------


def _check_rest(request: ImageRequest) -> None:
    if request.quality is not None:
        one_of("quality", request.quality, QUALITIES)
    if request.seed is not None:
        refuse("seed", "this upstream takes none.")
    if request.watermark:
        refuse("watermark", "this upstream puts none on images.")
    if request.background not in (None, "auto", "opaque"):
        refuse("background", "this upstream makes opaque images only.")
    if request.output_format not in (None, "png"):
        refuse("output_format", "this upstream makes PNG only.")


def _own(path: str, request: ImageRequest, traits: ImageTraits) -> dict[str, object]:
    vendor = {name: value for name, value in request.vendor.items() if value is not None}
    subject = traits.subject and path == GENERATE and bool(request.inputs)
    body: dict[str, object] = {}
    for name, value in vendor.items():
        match name:
            case "image_reference" if subject:
                body[name] = one_of(name, value, ("subject", "face"))
            case "image_fidelity" | "human_fidelity" if subject:
                body[name] = number(name, value, 0, 1)
            case "image_reference" | "image_fidelity" | "human_fidelity":
                refuse(name, "this model does not take it, or not without an image.")
            case _:
                raise refusal(name, "this upstream does not know it, or relayhub does not pass it on.")
    if "human_fidelity" in body and body.get("image_reference") != "subject":
        refuse("human_fidelity", "it goes with image_reference subject.")
    return body

"""The demo's images: the wire."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

from relayhub.sdk import (
    Artifact,
    ImageRequest,
    InputRole,
    MediaResult,
    MediaUsage,
    Steps,
    upstream_broke,
)
from relayhub_demo.drawings import SIGNATURE
from relayhub_demo.media_wire import content_of, count_of, post, read, refuse, refuse_unknown
from relayhub_demo.sizes import of_area, shape, sides
from relayhub_demo.studio import LARGEST, MOST_IMAGES, SMALLEST, TOKENS_PER_PICTURE, image_tokens
from relayhub_demo.wire import count_tokens

AREAS: Mapping[str, int] = {"1k": 1024**2, "2k": 2048**2}
USUAL = "1024x1024"
QUALITIES = ("auto", "low", "medium", "high", "standard", "hd")
"""All the same here: a drawing of squares has one quality."""


class DemoImages:
    """A :class:`relayhub.sdk.ImageWire`. It takes pictures only as bytes (``inline_media``)."""

    inline_media = True

    def measure(self, model: str, request: ImageRequest) -> MediaUsage:
        """Exactly what it will cost."""
        return _measured(request, _size(request))

    def generate(self, model: str, request: ImageRequest) -> Steps[MediaResult]:
        size = _size(request)
        _check(request)
        pictures = [base64.b64encode(content_of(given)).decode() for given in request.inputs]
        body = {"model": model, "prompt": request.prompt, "n": request.count, "size": size, "seed": request.seed}
        answer = read((yield post("/images/generations", {**body, "images": pictures})))
        return _result(answer, _measured(request, size))


def _measured(request: ImageRequest, size: str) -> MediaUsage:
    _check(request)
    width, height = sides(size) or (0, 0)
    return MediaUsage(
        images=request.count,
        input_tokens=count_tokens(request.prompt) + TOKENS_PER_PICTURE * len(request.inputs),
        output_tokens=request.count * image_tokens(width, height),
        size=size,
        quality=request.quality,
        input_kind="image" if request.inputs else "text",
    )


def _check(request: ImageRequest) -> None:
    """Raises ``ClientError`` naming what the demo cannot honour."""
    if not request.prompt.strip():
        refuse("prompt", "it is empty.")
    if not 1 <= request.count <= MOST_IMAGES:
        refuse("n", f"the demo makes 1 to {MOST_IMAGES} images at a time.")
    for name, value, allowed in (
        ("quality", request.quality, QUALITIES),
        ("background", request.background, ("auto", "opaque")),
        ("output_format", request.output_format, ("png",)),
    ):
        if value is not None and value not in allowed:
            refuse(name, f"the demo takes {', '.join(allowed)}.")
    refuse_unknown(request.vendor, {"negative_prompt": request.negative_prompt, "watermark": request.watermark})
    for given in request.inputs:
        if given.role not in (InputRole.IMAGE, InputRole.REFERENCE_IMAGE):
            refuse(given.field, f"the demo takes no {given.role.replace('_', ' ')} for images.")
        content_of(given)


def _size(request: ImageRequest) -> str:
    if request.size not in (None, "auto"):
        if request.ratio or request.resolution:
            refuse("size", "give a size, or a resolution and a ratio, not both.")
        found = sides(request.size)
        if found is None or not all(SMALLEST <= side <= LARGEST for side in found):
            refuse("size", f"it must be width x height in pixels, each from {SMALLEST} to {LARGEST}.")
        return f"{found[0]}x{found[1]}"
    if not request.ratio and not request.resolution:
        return USUAL
    pixels = AREAS.get((request.resolution or "1k").lower())
    if pixels is None:
        refuse("resolution", f"the demo makes {', '.join(AREAS)}.")
    wide = shape(request.ratio or "1:1")
    size = of_area(wide, pixels) if wide else ""
    if max(sides(size) or (LARGEST + 1,)) > LARGEST:
        refuse("ratio", f"it must be from 1:4 to 4:1, and no side longer than {LARGEST} pixels.")
    return size


def _result(answer: Mapping[str, object], measured: MediaUsage) -> MediaResult:
    items, usage = answer.get("data"), answer.get("usage")
    if not isinstance(items, list) or not items or not isinstance(usage, dict):
        raise upstream_broke("it has no image")
    told = MediaUsage(
        images=len(items),
        input_tokens=count_of(usage.get("input_tokens")),
        output_tokens=count_of(usage.get("output_tokens")),
        size=measured.size,
        quality=measured.quality,
        input_kind=measured.input_kind,
    )
    return MediaResult(tuple(map(_artifact, items)), told)


def _artifact(item: object) -> Artifact:
    data = item.get("b64_json") if isinstance(item, dict) else None
    try:
        content = base64.b64decode(data, validate=True) if isinstance(data, str) else b""
    except (binascii.Error, ValueError) as error:
        raise upstream_broke("an image is not base64") from error
    if not content.startswith(SIGNATURE):
        raise upstream_broke("an image is no PNG")
    return Artifact(data=content, media_type="image/png")

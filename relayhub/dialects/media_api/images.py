"""A request for images: OpenAI's shape, in which other vendors' parameters may stand too."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from relayhub.dialects.fields import invalid_value, missing
from relayhub.dialects.media_api.given import Given
from relayhub.dialects.media_api.videos import read_callback, read_user
from relayhub.types.media import ImageRequest, InputRole, MediaInput

MAX_IMAGES = 16
_SIZE = re.compile(r"([1-9]\d{1,4})\s*[x*X×]\s*([1-9]\d{1,4})")
_RESOLUTION = re.compile(r"[1-8]k|\d{3,4}p", re.IGNORECASE)


class ImageFormat(StrEnum):
    """How images come back. ``DATA_URL``: base64 with ``data:image/png;base64,`` before it, under ``b64_json``."""

    BASE64 = "b64_json"
    DATA_URL = "data_url"
    LINK = "url"


@dataclass(frozen=True, slots=True)
class AskedImages:
    """``format`` ``None``: the client did not say. ``later``: it asks again for them."""

    request: ImageRequest
    format: ImageFormat | None = None
    later: bool = False
    user: str | None = None
    callback_url: str | None = None


def read_images(given: Given, *, edits: bool) -> AskedImages:
    """Raises ``ClientError`` naming the field."""
    user, callback = read_user(given), read_callback(given)
    form, later = _format(given), given.flag("async") or False
    if given.flag("stream"):
        raise invalid_value("stream", "is not supported for images; leave it out")
    if given.integer("partial_images"):
        raise invalid_value("partial_images", "is not supported; leave it out")
    inputs = _inputs(given, edits=edits)
    size, resolution = _size(given)
    count = given.integer("n", "num_images")
    if count is not None and not 1 <= count <= MAX_IMAGES:
        raise invalid_value("n", f"must be from 1 to {MAX_IMAGES}")
    request = ImageRequest(
        model=given.needed_text("model"),
        prompt=given.text("prompt") or "",
        inputs=inputs,
        negative_prompt=given.text("negative_prompt"),
        count=count or 1,
        size=size,
        ratio=given.text("ratio", "aspect_ratio"),
        resolution=given.text("resolution") or resolution,
        quality=given.text("quality"),
        background=given.text("background"),
        output_format=given.text("output_format"),
        watermark=given.flag("watermark"),
        seed=given.integer("seed"),
        vendor=given.rest(),
    )
    if not request.prompt and not inputs:
        raise missing("prompt")
    return AskedImages(request, form, later, user, callback)


def _inputs(given: Given, *, edits: bool) -> tuple[MediaInput, ...]:
    found = [
        one
        for name, role in (
            ("image", InputRole.IMAGE),
            ("images", InputRole.IMAGE),
            ("input_reference", InputRole.IMAGE),
            ("mask", InputRole.MASK),
        )
        for one in given.inputs(name, role)
    ]
    if edits and not any(one.role is InputRole.IMAGE for one in found):
        raise missing("image")
    return tuple(found)


def _format(given: Given) -> ImageFormat | None:
    said = given.text("response_format")
    if said is None:
        return None
    if said not in (ImageFormat.BASE64, ImageFormat.LINK):
        raise invalid_value("response_format", "must be b64_json or url")
    return ImageFormat(said)


def _size(given: Given) -> tuple[str | None, str | None]:
    """Pixels, or a resolution that was given as a size."""
    size = given.text("size")
    if size is None or size == "auto":
        return size, None
    found = _SIZE.fullmatch(size.strip())
    if found is not None:
        return f"{found[1]}x{found[2]}", None
    if _RESOLUTION.fullmatch(size):
        return None, size.lower()
    raise invalid_value("size", "must be width x height in pixels such as 1024x1024, auto, or a resolution such as 2k")

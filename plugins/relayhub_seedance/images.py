"""Seedream images: the wire. They come at once."""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import orjson

from relayhub.sdk import (
    Artifact,
    Effect,
    HttpRequest,
    ImageRequest,
    InputRole,
    MediaResult,
    MediaUsage,
    Steps,
    upstream_broke,
)
from relayhub_seedance.asked import MAX_SEED
from relayhub_seedance.errors import ArkError, ark_error, blocked, read_error
from relayhub_seedance.inputs import SIGNATURES, link
from relayhub_seedance.refusal import needs, one_of, refusal, refuse, whole
from relayhub_seedance.settings import SeedanceSettings
from relayhub_seedance.tasks import LINK_LIVES_S, object_of
from relayhub_seedance.tokens import image_tokens
from relayhub_seedance.traits import IMAGE_MODELS, ImageTraits, traits_of
from relayhub_seedance.video import headers_of

IMAGES = "/images/generations"
PIXELS: Mapping[str, int] = {"1k": 1024**2, "2k": 2048**2, "3k": 3072**2, "4k": 4096**2}
"""Of a size by name, at most: the model picks a shape of about that area."""
WXH = re.compile(r"(\d{2,5})x(\d{2,5})")
RATIO = re.compile(r"(\d{1,2}):(\d{1,2})")
SIDE_STEP = 16
QUALITIES: Mapping[str, str | None] = {
    "auto": None,
    "low": None,
    "medium": None,
    "standard": None,
    "high": "4k",
    "hd": "4k",
}
SUFFIXES = {".png": "image/png", ".jpeg": "image/jpeg", ".jpg": "image/jpeg", ".webp": "image/webp"}


@dataclass(frozen=True, slots=True)
class Wanted:
    body: Mapping[str, object]
    usage: MediaUsage


class SeedreamWire:
    """A :class:`relayhub.sdk.ImageWire`."""

    def __init__(self, settings: SeedanceSettings) -> None:
        self._settings = settings

    def measure(self, model: str, request: ImageRequest) -> MediaUsage:
        return self._wanted(model, request).usage

    def generate(self, model: str, request: ImageRequest) -> Steps[MediaResult]:
        wanted = self._wanted(model, request)
        body = orjson.dumps({"model": model, **wanted.body})
        headers = headers_of(self._settings, body)
        reply = yield HttpRequest("POST", f"{self._settings.base_url}{IMAGES}", headers, body, Effect.PAID)
        if not 200 <= reply.status < 300:
            raise read_error(reply, [self._settings.api_key.get_secret_value()])
        return _result(object_of(reply.body), wanted.usage)

    def _wanted(self, model: str, request: ImageRequest) -> Wanted:
        """Raises ``ClientError`` naming what the model cannot honour."""
        traits = traits_of(model, IMAGE_MODELS, self._settings.image_traits)
        size, pixels = _size(request, traits)
        body: dict[str, object] = {
            "prompt": _prompt(request),
            **_inputs(request, traits, self._settings),
            "size": size,
            "response_format": "b64_json" if self._settings.inline_images else "url",
            **_together(request, traits),
            "watermark": bool(request.watermark),
            **_rest(request, traits),
        }
        named = size.lower() in PIXELS
        usage = MediaUsage(
            images=request.count,
            output_tokens=request.count * image_tokens(pixels),
            resolution=size.lower() if named else None,
            size=None if named else size,
            quality=request.quality,
            input_kind="image" if request.inputs else "text",
        )
        return Wanted(body, usage)


def _prompt(request: ImageRequest) -> str:
    if not request.prompt.strip():
        refuse("prompt", "it is empty.")
    if request.negative_prompt:
        refuse("negative_prompt", "this upstream has none; say in the prompt what should not be seen.")
    return request.prompt


def _inputs(request: ImageRequest, traits: ImageTraits, settings: SeedanceSettings) -> dict[str, object]:
    if traits.needs_input and not request.inputs:
        refuse("image", "this model needs one.")
    for index, given in enumerate(request.inputs):
        if given.role not in (InputRole.IMAGE, InputRole.REFERENCE_IMAGE):
            refuse(given.field, f"this upstream takes no {given.role.replace('_', ' ')} for images.")
        if index >= traits.inputs:
            refuse(given.field, f"this model takes {traits.inputs or 'no'} images.")
    links = [link(given, "image_url", settings.account_references) for given in request.inputs]
    return {"image": links[0] if len(links) == 1 else links} if links else {}


def _together(request: ImageRequest, traits: ImageTraits) -> dict[str, object]:
    """Several images are a sequence: the model makes up to as many, and bills what it made."""
    most = traits.together - len(request.inputs) if traits.together else 1
    if request.count < 1 or request.count > most:
        refuse("n", f"this model makes 1 to {max(most, 1)} images at a time here.")
    if not traits.together:
        return {}
    if request.count == 1:
        return {"sequential_image_generation": "disabled"}
    options = {"max_images": request.count}
    return {"sequential_image_generation": "auto", "sequential_image_generation_options": options}


def _size(request: ImageRequest, traits: ImageTraits) -> tuple[str, int]:
    """What to send, and the most pixels that it comes to."""
    size = None if request.size in (None, "auto") else request.size
    if size is not None and (request.resolution or request.ratio):
        refuse("size", "give a size, or a resolution and a ratio, not both.")
    name = size or request.resolution or _by_quality(request, traits) or traits.size
    if request.ratio is not None:
        name = _shaped(request.ratio, name, traits)
    if name.lower() in traits.sizes:
        return name.upper(), PIXELS[name.lower()]
    if name == traits.size and not WXH.fullmatch(name):
        return name, traits.max_pixels
    return name, _pixels(name, "size" if size else "resolution" if request.resolution else "size", traits)


def _by_quality(request: ImageRequest, traits: ImageTraits) -> str | None:
    if request.quality is None:
        return None
    wanted = QUALITIES[one_of("quality", request.quality, QUALITIES)]
    if wanted is not None:
        one_of("quality", wanted, (*traits.sizes,))
    return wanted


def _shaped(ratio: str, name: str, traits: ImageTraits) -> str:
    """A size of this shape, with about the pixels that ``name`` has."""
    found = RATIO.fullmatch(ratio)
    if found is None or name.lower() not in traits.sizes:
        refuse("ratio", "this model takes a size (WxH) instead.")
    wide, high = int(found[1]), int(found[2])
    if not wide or not high or not 1 / 16 <= wide / high <= 16:
        refuse("ratio", "it must be from 1:16 to 16:1.")
    unit = math.sqrt(PIXELS[name.lower()] / (wide * high))
    width, height = (int(unit * side / SIDE_STEP) * SIDE_STEP for side in (wide, high))
    return f"{width}x{height}"


def _pixels(size: str, param: str, traits: ImageTraits) -> int:
    found = WXH.fullmatch(size)
    names = ", ".join(name.upper() for name in traits.sizes)
    if found is None:
        refuse(param, f"this model takes {f'{names} or ' if names else ''}width x height, such as 2048x2048.")
    width, height = int(found[1]), int(found[2])
    fits = traits.min_pixels <= width * height <= traits.max_pixels and 1 / 16 <= width / height <= 16
    if not fits:
        refuse(param, f"this model makes images of {traits.min_pixels} to {traits.max_pixels} pixels, up to 16:1.")
    return width * height


def _rest(request: ImageRequest, traits: ImageTraits) -> dict[str, object]:
    body: dict[str, object] = {}
    if request.background not in (None, "auto", "opaque"):
        refuse("background", "this upstream makes opaque images only.")
    if request.output_format is not None:
        said = "jpeg" if request.output_format == "jpg" else request.output_format
        one_of("output_format", said, traits.output_formats)
        # Where there is no choice the field itself is refused.
        body |= {"output_format": said} if len(traits.output_formats) > 1 else {}
    if request.seed is not None:
        needs("seed", traits.seed)
        body["seed"] = whole("seed", request.seed, -1, MAX_SEED)
    for name, value in request.vendor.items():
        if value is not None:
            body[name] = _vendor(name, value, traits)
    return body


def _vendor(name: str, value: object, traits: ImageTraits) -> object:
    match name:
        case "guidance_scale":
            needs(name, traits.guidance_scale)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= 10:
                refuse(name, "it must be a number from 1 to 10.")
            return value
        case "optimize_prompt_options":
            if not isinstance(value, dict) or value.keys() != {"mode"}:
                refuse(name, "it must be an object with a mode.")
            return {"mode": one_of(name, value["mode"], traits.prompt_modes)}
        case _:
            raise refusal(name, "this upstream does not know it, or relayhub does not pass it on.")


# --- answers ----------------------------------------------------------------------------------------------------------


def _result(answer: Mapping[str, object], measured: MediaUsage) -> MediaResult:
    """Raises ``UpstreamError`` if there is no image in it."""
    items = answer.get("data")
    found = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    artifacts = tuple(_artifact(item) for item in found if "error" not in item)
    if not artifacts:
        errors = [ark_error(value) for value in (answer.get("error"), *(item.get("error") for item in found))]
        said = next((error for error in errors if error != ArkError()), None)
        raise blocked(said) if said is not None else upstream_broke("it has no image")
    return MediaResult(artifacts, _billed(answer.get("usage"), len(artifacts), measured))


def _artifact(item: Mapping[str, object]) -> Artifact:
    url, data = item.get("url"), item.get("b64_json")
    if isinstance(url, str) and url:
        suffix = "." + urlsplit(url).path.rpartition(".")[2].lower()
        return Artifact(url=url, media_type=SUFFIXES.get(suffix), lives_s=LINK_LIVES_S)
    if not isinstance(data, str) or not data:
        raise upstream_broke("an image has neither link nor data")
    try:
        raw = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise upstream_broke("an image is not base64") from error
    media_type = next((name for start, name in SIGNATURES if data.startswith(start)), None)
    return Artifact(data=raw, media_type=media_type)


def _billed(usage: object, made: int, measured: MediaUsage) -> MediaUsage:
    """What was made is billed, at the price that was measured for."""
    told = usage if isinstance(usage, dict) else {}
    images = _count(told.get("generated_images"), made)
    tokens = _count(told.get("output_tokens"), measured.output_tokens * images // measured.images)
    return replace(measured, images=images, output_tokens=tokens)


def _count(told: object, otherwise: int) -> int:
    return told if isinstance(told, int) and not isinstance(told, bool) and told >= 0 else otherwise

"""Images: the wire. Made from a prompt (JSON), or edited (multipart)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from relayhub.sdk import (
    Artifact,
    HttpRequest,
    ImageRequest,
    InputRole,
    MediaResult,
    MediaUsage,
    Steps,
    upstream_broke,
)
from relayhub_openai.endpoint import Endpoint, count_of
from relayhub_openai.image_tokens import most_input_tokens, most_output_tokens
from relayhub_openai.media_traits import IMAGE_MODELS, ImageTraits, traits_of
from relayhub_openai.multipart import Part, field, form
from relayhub_openai.pictures import made_picture, picture
from relayhub_openai.refusal import extra, one_of, passed_on, refuse, whole
from relayhub_openai.sizes import listed, of_area, pixels_of, sides

GENERATIONS = "/images/generations"
EDITS = "/images/edits"
AREAS: Mapping[str, int] = {"1k": 1024**2, "2k": 2048**2, "4k": 3840 * 2160}
ALSO_CALLED: Mapping[str, str] = {"standard": "medium", "hd": "high"}
"""Qualities of retired models that clients still ask for."""
MAX_PROMPT = 32_000
LINK_LIVES_S = 3600.0
LEVELS = ("low", "auto")


@dataclass(frozen=True, slots=True)
class Asked:
    """``fields``: of the request but for model and pictures; ``files``: the pictures, as parts of a form."""

    fields: Mapping[str, object]
    files: tuple[Part, ...]
    usage: MediaUsage


class OpenAIImages:
    """A :class:`relayhub.sdk.ImageWire`. It takes pictures only as bytes (``inline_media``)."""

    inline_media = True

    def __init__(self, endpoint: Endpoint, traits: Mapping[str, ImageTraits]) -> None:
        self._endpoint = endpoint
        self._traits = traits

    def measure(self, model: str, request: ImageRequest) -> MediaUsage:
        return self._asked(model, request).usage

    def generate(self, model: str, request: ImageRequest) -> Steps[MediaResult]:
        asked = self._asked(model, request)
        reply = yield self._request(model, asked)
        return _result(self._endpoint.read(reply), asked.usage, self._endpoint)

    def _asked(self, model: str, request: ImageRequest) -> Asked:
        return _asked(request, traits_of(model, IMAGE_MODELS, self._traits))

    def _request(self, model: str, asked: Asked) -> HttpRequest:
        if not asked.files:
            return self._endpoint.post(GENERATIONS, {"model": model, **asked.fields})
        fields = [field(name, value) for name, value in {"model": model, **asked.fields}.items()]
        return self._endpoint.post_form(EDITS, form([*fields, *asked.files]))


# --- what is asked ----------------------------------------------------------------------------------------------------


def _asked(request: ImageRequest, traits: ImageTraits) -> Asked:
    """Raises ``ClientError`` naming what the model cannot honour."""
    size, quality = _size(request, traits), _quality(request, traits)
    files = _files(request, traits)
    if not 1 <= request.count <= traits.count:
        refuse("n", f"this model makes 1 to {traits.count} images at a time.")
    fields: dict[str, object] = {
        "prompt": _prompt(request),
        "n": request.count,
        **({"size": size} if size else {}),
        **({"quality": quality} if quality else {}),
        **_form(request, traits),
        **_extras(request, traits),
    }
    pixels = pixels_of(size) if size and size != "auto" else traits.auto_pixels
    usage = MediaUsage(
        images=request.count,
        input_tokens=most_input_tokens(request.prompt, len(files) * traits.input_tokens),
        output_tokens=request.count * most_output_tokens(pixels, quality, traits.qualities),
        size=None if size == "auto" else size,
        quality=None if quality == "auto" else quality,
        input_kind="image" if files else "text",
    )
    return Asked(fields, files, usage)


def _prompt(request: ImageRequest) -> str:
    if not request.prompt.strip():
        refuse("prompt", "it is empty.")
    if len(request.prompt) > MAX_PROMPT:
        refuse("prompt", f"it is longer than {MAX_PROMPT} characters.")
    return request.prompt


def _quality(request: ImageRequest, traits: ImageTraits) -> str | None:
    said = request.quality
    if said is None:
        return None
    return one_of("quality", said if said in traits.qualities else ALSO_CALLED.get(said, said), traits.qualities)


def _size(request: ImageRequest, traits: ImageTraits) -> str | None:
    shaped = bool(request.ratio or request.resolution)
    if request.size == "auto" and not shaped:
        return "auto"
    if request.size not in (None, "auto"):
        if shaped:
            refuse("size", "give a size, or a resolution and a ratio, not both.")
        return _checked(request.size or "", "size", traits)
    return _shaped(request, traits) if shaped else None


def _shaped(request: ImageRequest, traits: ImageTraits) -> str:
    name = (request.resolution or "1k").lower()
    if name not in AREAS or (traits.sizes and name != "1k"):
        refuse("resolution", f"this model makes {'1k' if traits.sizes else ', '.join(AREAS)}.")
    if traits.sizes:
        return listed(traits.sizes, request.ratio, None)
    return _checked(of_area(request.ratio or "1:1", AREAS[name], traits.side_step), "ratio", traits)


def _checked(size: str, param: str, traits: ImageTraits) -> str:
    if traits.sizes:
        return one_of(param, size, traits.sizes)
    width, height = sides(size, param)
    if width % traits.side_step or height % traits.side_step:
        refuse(param, f"its sides must be multiples of {traits.side_step}.")
    if max(width / height, height / width) > traits.max_ratio:
        refuse(param, f"one side may be at most {traits.max_ratio:g} times the other.")
    if width * height > traits.max_pixels:
        refuse(param, f"it may have at most {traits.max_pixels} pixels.")
    return size


def _form(request: ImageRequest, traits: ImageTraits) -> dict[str, object]:
    """How the image comes: its file format and background."""
    fields: dict[str, object] = {"response_format": "b64_json"} if traits.response_format else {}
    if request.background is not None:
        one_of("background", request.background, traits.backgrounds)
        fields |= {"background": request.background} if len(traits.backgrounds) > 2 else {}
    if request.output_format is not None:
        said = "jpeg" if request.output_format == "jpg" else request.output_format
        if request.background == "transparent" and said == "jpeg":
            refuse("output_format", "a JPEG cannot be transparent.")
        one_of("output_format", said, traits.output_formats)
        # Where there is no choice the field itself is refused.
        fields |= {"output_format": said} if len(traits.output_formats) > 1 else {}
    return fields


def _extras(request: ImageRequest, traits: ImageTraits) -> dict[str, object]:
    fields: dict[str, object] = {}
    for name, value in passed_on(request.vendor, traits.parameters).items():
        match name:
            case "output_compression":
                fields[name] = whole(name, value, 0, 100)
            case "moderation":
                fields[name] = one_of(name, value, LEVELS)
            case "input_fidelity":
                if not request.inputs:
                    refuse(name, "it is for edits only.")
                fields[name] = one_of(name, value, ("low", "high"))
            case _:
                fields[name] = value
    # No upstream of this shape adds a mark that it does not say; so only the wish for one must be honoured.
    marked = extra("watermark", True if request.watermark else None, traits.parameters)
    negative = extra("negative_prompt", request.negative_prompt or None, traits.parameters)
    return {**fields, **marked, **negative, **extra("seed", request.seed, traits.parameters)}


def _files(request: ImageRequest, traits: ImageTraits) -> tuple[Part, ...]:
    """Several pictures are ``image[]``, as the official SDK sends them."""
    pictures = [given for given in request.inputs if given.role in (InputRole.IMAGE, InputRole.REFERENCE_IMAGE)]
    masks = [given for given in request.inputs if given.role is InputRole.MASK]
    for given in request.inputs:
        if given not in pictures and given not in masks:
            refuse(given.field, f"this upstream takes no {given.role.replace('_', ' ')} for images.")
    if len(pictures) > traits.inputs:
        refuse(pictures[traits.inputs].field, f"this model takes {traits.inputs or 'no'} pictures.")
    if masks and (not traits.mask or not pictures or len(masks) > 1):
        refuse(masks[-1].field, "a mask needs a model that takes one, and a picture; there can be only one.")
    name = "image" if len(pictures) == 1 else "image[]"
    named = [(name, f"image-{index}", given) for index, given in enumerate(pictures)]
    named += [("mask", "mask", given) for given in masks]
    read = [(name, stem, picture(given)) for name, stem, given in named]
    return tuple(Part(name, one.content, f"{stem}.{one.suffix}", one.media_type) for name, stem, one in read)


# --- answers ----------------------------------------------------------------------------------------------------------


def _result(answer: Mapping[str, object], measured: MediaUsage, endpoint: Endpoint) -> MediaResult:
    """Raises ``UpstreamError`` if there is no image in it."""
    items = answer.get("data")
    if not isinstance(items, list) or not items:
        raise upstream_broke("it has no image")
    artifacts = tuple(_artifact(item, endpoint) for item in items)
    return MediaResult(artifacts, _billed(answer, len(artifacts), measured))


def _artifact(item: object, endpoint: Endpoint) -> Artifact:
    fields = item if isinstance(item, dict) else {}
    data, url, revised = (fields.get(name) for name in ("b64_json", "url", "revised_prompt"))
    note = revised if isinstance(revised, str) and revised else None
    inline = data if isinstance(data, str) and data else url
    if isinstance(inline, str) and (inline is data or inline.startswith("data:")):
        return made_picture(inline, note)
    if not isinstance(url, str) or not url.startswith(("https://", "http://")):
        raise upstream_broke("an image has neither link nor data")
    return Artifact(url=url, lives_s=LINK_LIVES_S, headers=endpoint.credentials(url), note=note)


def _billed(answer: Mapping[str, object], made: int, measured: MediaUsage) -> MediaUsage:
    """What was made, in the tokens that the answer tells. Size and quality: where the client left them open, what the
    upstream chose."""
    told = answer.get("usage")
    usage = told if isinstance(told, dict) else {}
    size, quality = answer.get("size"), answer.get("quality")
    return replace(
        measured,
        images=made,
        input_tokens=count_of(usage.get("input_tokens"), measured.input_tokens),
        output_tokens=count_of(usage.get("output_tokens"), measured.output_tokens * made // measured.images),
        size=measured.size or (size if isinstance(size, str) and size != "auto" else None),
        quality=measured.quality or (quality if isinstance(quality, str) and quality != "auto" else None),
    )

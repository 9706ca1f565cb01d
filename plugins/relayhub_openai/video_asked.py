"""A video request in the terms of the Video API: every parameter checked, none left out in silence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from relayhub.sdk import InputRole, MediaInput, MediaRequest, MediaUsage, VideoRequest, invalid_request
from relayhub_openai.media_traits import VIDEO_MODELS, VideoTraits, traits_of
from relayhub_openai.multipart import Part
from relayhub_openai.pictures import picture
from relayhub_openai.refusal import extra, one_of, passed_on, refuse
from relayhub_openai.sizes import computed, label, listed, sides

STARTS = frozenset({InputRole.IMAGE, InputRole.FIRST_FRAME, InputRole.REFERENCE_IMAGE})
REFERENCE = "input_reference"
USUAL_RATIO, USUAL_RESOLUTION = "16:9", "720p"


@dataclass(frozen=True, slots=True)
class Asked:
    """``fields``: of the request, but for model and picture; ``link`` or ``file``: the picture; ``source``: the video to
    remix, by the upstream's id; ``json``: the body must be JSON."""

    fields: Mapping[str, object]
    usage: MediaUsage
    link: str | None = None
    file: Part | None = None
    source: str | None = None
    json: bool = False


def asked(model: str, request: MediaRequest, overrides: Mapping[str, VideoTraits]) -> Asked:
    """Raises ``ClientError`` naming what the model cannot honour."""
    if not isinstance(request, VideoRequest):
        raise invalid_request("model: this one makes videos only.", param="model")
    traits = traits_of(model, VIDEO_MODELS, overrides)
    if not request.prompt.strip():
        refuse("prompt", "it is empty.")
    return _remixed(request, traits) if request.remix else _made(request, traits)


def _made(request: VideoRequest, traits: VideoTraits) -> Asked:
    size, seconds = _size(request, traits), _seconds(request, traits)
    given = _given(request, traits)
    link = _link(given) if given is not None and (given.media.url or traits.form == "json") else None
    fields = {
        "prompt": request.prompt,
        "seconds": str(seconds),
        **({"size": size} if size else {}),
        **_extras(request, traits),
    }
    usage = MediaUsage(
        video_ms=round(max(seconds, request.billed_seconds or 0) * 1000),
        resolution=label(size) if size else None,
        size=size,
        audio=_sound(request, traits),
        input_kind="image" if given is not None else "text",
    )
    file = _file(given) if given is not None and link is None else None
    return Asked(fields, usage, link, file, json=link is not None or traits.form == "json")


def _remixed(request: VideoRequest, traits: VideoTraits) -> Asked:
    """A remix has the length and size of its source, which only the upstream knows."""
    for name, value in (("duration", request.seconds), ("resolution", request.resolution), ("ratio", request.ratio)):
        if value is not None:
            refuse(name, "a remix is as long and as large as the video that it is made from.")
    sources = [given for given in request.inputs if given.role is InputRole.SOURCE_VIDEO]
    if not traits.remix or len(sources) != 1 or len(request.inputs) != 1:
        refuse("video", "this model remixes one video that it made itself." if traits.remix else "it makes no remixes.")
    source = sources[0].media.file_id
    if source is None:
        refuse(sources[0].field, "this upstream remixes only videos that it made itself.")
    seconds = max(traits.longest_s, request.billed_seconds or 0)
    usage = MediaUsage(video_ms=round(seconds * 1000), audio=_sound(request, traits), input_kind="video")
    return Asked({"prompt": request.prompt, **_extras(request, traits)}, usage, source=source, json=True)


def _seconds(request: VideoRequest, traits: VideoTraits) -> int:
    said = request.seconds if request.seconds is not None else traits.default_s
    allowed = traits.seconds or range(traits.min_s, traits.max_s + 1)
    if said not in allowed:
        range_ = ", ".join(map(str, traits.seconds)) or f"{traits.min_s} to {traits.max_s} whole"
        refuse("duration", f"this model makes {range_} seconds.")
    return int(said)


def _size(request: VideoRequest, traits: VideoTraits) -> str | None:
    exact = request.vendor.get("size")
    ratio, resolution = request.ratio, request.resolution
    if exact is not None:
        if ratio or resolution:
            refuse("size", "give a size, or a resolution and a ratio, not both.")
        return one_of("size", exact, traits.sizes) if traits.sizes else _any_size(exact)
    if ratio is None and resolution is None:
        return traits.size
    if traits.sizes:
        return listed(traits.sizes, ratio, resolution)
    usual = traits.size
    return computed(ratio or USUAL_RATIO, resolution or (label(usual) if usual else USUAL_RESOLUTION))


def _any_size(size: object) -> str:
    if not isinstance(size, str):
        refuse("size", "it must be width x height in pixels, such as 1280x720.")
    sides(size)
    return size


def _sound(request: VideoRequest, traits: VideoTraits) -> bool | None:
    said = request.audio
    if said is not None and "generate_audio" not in traits.parameters and said is not traits.audio:
        refuse("generate_audio", "this upstream cannot be told; a model makes sound or it does not.")
    return said if said is not None else traits.audio


def _extras(request: VideoRequest, traits: VideoTraits) -> dict[str, object]:
    """What OpenAI's own API does not have and this upstream may."""
    vendor = {name: value for name, value in request.vendor.items() if name != "size"}
    sound = request.audio if "generate_audio" in traits.parameters else None
    return {
        **passed_on(vendor, traits.parameters),
        **extra("negative_prompt", request.negative_prompt or None, traits.parameters),
        **extra("seed", request.seed, traits.parameters),
        # No upstream of this shape is known to add a mark unasked; so only the wish for one must be honoured.
        **extra("watermark", True if request.watermark else None, traits.parameters),
        **extra("generate_audio", sound, traits.parameters),
    }


def _given(request: VideoRequest, traits: VideoTraits) -> MediaInput | None:
    """The one picture that the clip begins with."""
    for index, given in enumerate(request.inputs):
        if given.role not in STARTS:
            refuse(given.field, f"this upstream takes no {given.role.replace('_', ' ')}.")
        if index or not traits.image:
            refuse(given.field, f"this model takes {'one picture' if traits.image else 'no pictures'}.")
        if given.media.file_id is not None:
            refuse(given.field, "files of another account cannot be used here; give a link or the picture itself.")
    return request.inputs[0] if request.inputs else None


def _link(given: MediaInput) -> str:
    return given.media.url or picture(given).data_url


def _file(given: MediaInput) -> Part:
    one = picture(given)
    return Part(REFERENCE, one.content, f"reference.{one.suffix}", one.media_type)

"""What a client gives beside its prompt, in Ark's terms: frames or references, never both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from relayhub.sdk import InputRole, Media, MediaInput, VideoRequest
from relayhub_seedance.refusal import refuse
from relayhub_seedance.traits import VideoTraits

SIGNATURES = (
    ("iVBOR", "image/png"),
    ("/9j/", "image/jpeg"),
    ("UklGR", "image/webp"),
    ("R0lGOD", "image/gif"),
    ("Qk", "image/bmp"),
    ("SUkq", "image/tiff"),
    ("TU0AK", "image/tiff"),
)
"""How base64 of a picture begins."""


class Place(StrEnum):
    """Ark's roles."""

    FIRST_FRAME = "first_frame"
    LAST_FRAME = "last_frame"
    REFERENCE_IMAGE = "reference_image"
    REFERENCE_VIDEO = "reference_video"
    REFERENCE_AUDIO = "reference_audio"

    @property
    def is_frame(self) -> bool:
        return self in (Place.FIRST_FRAME, Place.LAST_FRAME)

    @property
    def content_type(self) -> str:
        if self is Place.REFERENCE_VIDEO:
            return "video_url"
        return "audio_url" if self is Place.REFERENCE_AUDIO else "image_url"


@dataclass(frozen=True, slots=True)
class Placed:
    place: Place
    given: MediaInput


_SAID = {
    InputRole.FIRST_FRAME: Place.FIRST_FRAME,
    InputRole.LAST_FRAME: Place.LAST_FRAME,
    InputRole.REFERENCE_IMAGE: Place.REFERENCE_IMAGE,
    InputRole.REFERENCE_VIDEO: Place.REFERENCE_VIDEO,
    InputRole.REFERENCE_AUDIO: Place.REFERENCE_AUDIO,
    InputRole.SOURCE_VIDEO: Place.REFERENCE_VIDEO,
}


def placed(request: VideoRequest, traits: VideoTraits) -> tuple[Placed, ...]:
    """In the client's order. Raises ``ClientError`` naming the input that the model cannot take."""
    images = iter(_places_of_images(request.inputs, traits))
    found: list[Placed] = []
    for given in request.inputs:
        if given.role is InputRole.MASK:
            refuse(given.field, "this upstream takes no masks.")
        found.append(Placed(next(images) if given.role is InputRole.IMAGE else _SAID[given.role], given))
    _check_places(found, traits)
    return tuple(found)


def _places_of_images(inputs: Sequence[MediaInput], traits: VideoTraits) -> list[Place]:
    """Of the images that the client gave no role: one is the first frame, two are first and last, more are references."""
    said = {_SAID[given.role] for given in inputs if given.role in _SAID}
    count = sum(given.role is InputRole.IMAGE for given in inputs)
    room = [
        place
        for place, takes in ((Place.FIRST_FRAME, traits.first_frame), (Place.LAST_FRAME, traits.last_frame))
        if takes and place not in said
    ]
    referring = any(not place.is_frame for place in said) or (count > len(room) and traits.reference_images > 0)
    if referring:
        return [Place.REFERENCE_IMAGE] * count
    return (room or [Place.FIRST_FRAME])[:count] + [Place.LAST_FRAME] * (count - len(room or [Place.FIRST_FRAME]))


def _check_places(found: Sequence[Placed], traits: VideoTraits) -> None:
    limits = {
        Place.FIRST_FRAME: int(traits.first_frame),
        Place.LAST_FRAME: int(traits.last_frame),
        Place.REFERENCE_IMAGE: traits.reference_images,
        Place.REFERENCE_VIDEO: traits.reference_videos,
        Place.REFERENCE_AUDIO: traits.reference_audios,
    }
    seen: list[Place] = []
    for one in found:
        limit = limits[one.place]
        if seen.count(one.place) >= limit:
            what = one.place.replace("_", " ")
            refuse(one.given.field, f"this model takes {f'{limit} of' if limit else 'no'} {what}.")
        if seen and one.place.is_frame is not seen[0].is_frame:
            refuse(one.given.field, "frames and references cannot be mixed.")
        seen.append(one.place)
    if Place.LAST_FRAME in seen and Place.FIRST_FRAME not in seen:
        last = next(one for one in found if one.place is Place.LAST_FRAME)
        refuse(last.given.field, "a last frame needs a first one.")
    if seen and set(seen) == {Place.REFERENCE_AUDIO} and not traits.audio_alone:
        refuse(found[0].given.field, "this model takes audio only beside an image or a video.")


def content_item(one: Placed, *, account_references: bool) -> dict[str, object]:
    """Raises ``ClientError`` naming the input whose form the upstream does not take."""
    kind = one.place.content_type
    return {"type": kind, kind: {"url": link(one.given, kind, account_references)}, "role": one.place.value}


def link(given: MediaInput, kind: str, account_references: bool) -> str:
    """A URL, or a data URL, as Ark takes it."""
    media = given.media
    if media.url is not None:
        if media.url.startswith("asset://") and not account_references:
            refuse(given.field, "assets of the upstream account cannot be named here; give a link or the data.")
        return media.url
    if media.data is None:
        refuse(given.field, "files of another API cannot be used here; give a link or the data.")
    if kind == "video_url":
        refuse(given.field, "the upstream takes videos by link only.")
    return f"data:{_media_type(given.field, media, kind)};base64,{media.data}"


def _media_type(field: str, media: Media, kind: str) -> str:
    if media.media_type is not None:
        return media.media_type
    data = media.data or ""
    found = next((name for start, name in SIGNATURES if data.startswith(start)), None)
    if found is None:
        refuse(field, f"say what {kind.removesuffix('_url')} type the data is, as in data:image/png;base64,….")
    return found

"""What a client gives beside its prompt, in Kling's terms: frames, references and clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from relayhub.sdk import InputRole, Media, MediaInput, VideoRequest, invalid_request
from relayhub_kling.refusal import refuse
from relayhub_kling.traits import VideoTraits

MAX_PICTURE_BYTES = 10 << 20
PICTURE_TYPES = ("image/jpeg", "image/jpg", "image/png")
BESIDE_A_CLIP = 4
"""Images that omni takes then, and no more."""


class Place(StrEnum):
    FIRST_FRAME = "first frame"
    LAST_FRAME = "last frame"
    REFERENCE = "reference image"
    CLIP = "reference video"
    SOURCE = "video to edit"

    @property
    def is_frame(self) -> bool:
        return self in (Place.FIRST_FRAME, Place.LAST_FRAME)

    @property
    def is_clip(self) -> bool:
        return self in (Place.CLIP, Place.SOURCE)


@dataclass(frozen=True, slots=True)
class Placed:
    place: Place
    given: MediaInput


_SAID: Mapping[InputRole, Place] = {
    InputRole.FIRST_FRAME: Place.FIRST_FRAME,
    InputRole.LAST_FRAME: Place.LAST_FRAME,
    InputRole.REFERENCE_IMAGE: Place.REFERENCE,
    InputRole.REFERENCE_VIDEO: Place.CLIP,
    InputRole.SOURCE_VIDEO: Place.SOURCE,
}


def placed(request: VideoRequest, traits: VideoTraits) -> tuple[Placed, ...]:
    """In the client's order. Raises ``ClientError`` naming the input that the model cannot take."""
    images = iter(_places_of_images(request.inputs, traits))
    found: list[Placed] = []
    for given in request.inputs:
        if given.role is InputRole.IMAGE:
            found.append(Placed(next(images), given))
        elif given.role in _SAID:
            found.append(Placed(_SAID[given.role], given))
        else:
            refuse(given.field, f"this upstream takes no {given.role.replace('_', ' ')}.")
    if request.remix and not traits.clips:
        field = next((one.given.field for one in found if one.place is Place.SOURCE), "video")
        raise invalid_request(
            f"{field}: this model cannot remix; ask for one of the omni models.", code="remix_unsupported", param=field
        )
    _check_numbers(found, traits)
    _check_company(found, traits)
    return tuple(found)


def _places_of_images(inputs: Sequence[MediaInput], traits: VideoTraits) -> list[Place]:
    """Of the images that the client gave no role: one is the first frame; more are references where the model has them,
    else the first and the last frame; an image beside a frame is the other frame."""
    said = {_SAID[given.role] for given in inputs if given.role in _SAID}
    count = sum(given.role is InputRole.IMAGE for given in inputs)
    frames = [Place.FIRST_FRAME, Place.LAST_FRAME]
    if any(not place.is_frame for place in said):
        return [Place.REFERENCE] * count
    if said:
        return [*(place for place in frames if place not in said), *[Place.REFERENCE] * count][:count]
    if count > 1 and traits.references:
        return [Place.REFERENCE] * count
    return [*frames, *[Place.REFERENCE] * count][:count]


def _check_numbers(found: Sequence[Placed], traits: VideoTraits) -> None:
    clips = any(one.place.is_clip for one in found)
    limits = {
        Place.FIRST_FRAME: int(traits.first_frame),
        Place.LAST_FRAME: int(bool(traits.last_frame)),
        Place.REFERENCE: min(traits.references, BESIDE_A_CLIP) if clips else traits.references,
        Place.CLIP: int(traits.clips),
        Place.SOURCE: int(traits.clips),
    }
    seen: list[Place] = []
    for one in found:
        limit = limits[one.place]
        if seen.count(one.place) >= limit:
            refuse(one.given.field, f"this model takes {f'{limit} of' if limit else 'no'} {one.place}.")
        seen.append(one.place)


def _check_company(found: Sequence[Placed], traits: VideoTraits) -> None:
    """What cannot go together."""
    places = [one.place for one in found]
    last = next((one for one in found if one.place is Place.LAST_FRAME), None)
    needs_first = traits.omni or traits.api == "second"
    if last is not None and Place.FIRST_FRAME not in places and needs_first:
        refuse(last.given.field, "a last frame needs a first one.")
    framed = any(place.is_frame for place in places)
    for one in found:
        if framed and not one.place.is_frame and (not traits.omni or one.place is Place.SOURCE):
            refuse(one.given.field, f"a {one.place} cannot stand beside frames.")
    clips = [one for one in found if one.place.is_clip]
    if len(clips) > 1:
        refuse(clips[1].given.field, "this model takes one video.")
    pictures = [one for one in found if not one.place.is_clip]
    most = BESIDE_A_CLIP if clips else traits.references
    if traits.omni and len(pictures) > most:
        refuse(pictures[most].given.field, f"this model takes {most} images here, frames included.")


def picture(given: MediaInput) -> str:
    """A link, or base64 without any prefix, as Kling takes it. Raises ``ClientError`` naming the input."""
    media = given.media
    if media.url is not None:
        return media.url
    if media.data is None:
        refuse(given.field, "files of another API cannot be used here; give a link or the data.")
    if media.media_type is not None and media.media_type not in PICTURE_TYPES:
        refuse(given.field, "the upstream takes JPEG and PNG.")
    if len(media.data) * 3 // 4 > MAX_PICTURE_BYTES:
        refuse(given.field, f"the upstream takes images of at most {MAX_PICTURE_BYTES >> 20} MB.")
    return media.data


def clip(given: MediaInput) -> str:
    if given.media.url is None:
        refuse(given.field, "the upstream takes videos by link only.")
    return given.media.url


KEPT = Media(url="https://kept.invalid/")


def as_kept(given: MediaInput) -> MediaInput:
    """The hub keeps no inline data of a job: what a lookup needs of a request is all but that."""
    media = given.media
    return given if media.url is not None or media.data is not None else replace(given, media=KEPT)

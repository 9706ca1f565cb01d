"""A request for a video, in any of the shapes that clients know: OpenAI's (``seconds``, ``size``, ``input_reference``),
flat (``duration``, ``resolution``, ``image``), nested (``input`` and ``parameters``) and as a list of ``content``."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from relayhub.dialects.fields import invalid_value, wrong_type
from relayhub.dialects.media_api.given import MAX_LINK, Given, is_link, media_of
from relayhub.types.limits import MAX_USER_IDENTIFIER
from relayhub.types.media import InputRole, MediaInput, VideoRequest

_SIZE = re.compile(r"([1-9]\d{1,4})\s*[x*X×]\s*([1-9]\d{1,4})")

_INPUTS: Mapping[str, InputRole] = {
    "input_reference": InputRole.IMAGE,
    "image": InputRole.IMAGE,
    "images": InputRole.IMAGE,
    "image_url": InputRole.IMAGE,
    "first_frame": InputRole.FIRST_FRAME,
    "first_frame_image": InputRole.FIRST_FRAME,
    "last_frame": InputRole.LAST_FRAME,
    "last_frame_image": InputRole.LAST_FRAME,
    "image_tail": InputRole.LAST_FRAME,
    "reference_images": InputRole.REFERENCE_IMAGE,
    "reference_videos": InputRole.REFERENCE_VIDEO,
    "video": InputRole.SOURCE_VIDEO,
    "video_url": InputRole.SOURCE_VIDEO,
}
"""Fields that hold files, and what for."""

_ROLES: Mapping[str, InputRole] = {
    "image": InputRole.IMAGE,
    "image_url": InputRole.IMAGE,
    "input_image": InputRole.FIRST_FRAME,
    "first_frame": InputRole.FIRST_FRAME,
    "last_frame": InputRole.LAST_FRAME,
    "reference_image": InputRole.REFERENCE_IMAGE,
    "reference_video": InputRole.REFERENCE_VIDEO,
    "video": InputRole.SOURCE_VIDEO,
    "video_url": InputRole.SOURCE_VIDEO,
    "reference_audio": InputRole.REFERENCE_AUDIO,
    "audio_url": InputRole.REFERENCE_AUDIO,
    "audio": InputRole.REFERENCE_AUDIO,
}
"""Kinds of ``input.media[]`` and ``content[]``, and what they are for."""


@dataclass(frozen=True, slots=True)
class AskedVideo:
    """``model`` in ``request`` is empty where the client named none. ``provider``: of the hub's own shape only."""

    request: VideoRequest
    provider: str | None = None
    user: str | None = None
    callback_url: str | None = None


def read_video(given: Given, *, names_provider: bool = False) -> AskedVideo:
    """Raises ``ClientError`` naming the field. What no shape knows is the upstream's own: its plugin takes it or refuses
    it by name."""
    provider = given.text("provider") if names_provider else None
    user, callback = read_user(given), read_callback(given)
    nested, parameters = given.section("input"), given.section("parameters")
    text, inputs = _inputs(given, nested)
    seconds, billed = _lengths(given, parameters, inputs)
    resolution, ratio = _shape(given, parameters)
    _only_one(given)
    request = VideoRequest(
        model=given.text("model") or "",
        prompt=_prompt(given.text("prompt"), nested.text("prompt"), text),
        inputs=inputs,
        negative_prompt=_first_text(given, nested, parameters, name="negative_prompt"),
        seconds=seconds,
        resolution=resolution,
        ratio=ratio,
        audio=_sound(given, parameters),
        watermark=_first_flag(given, parameters, name="watermark"),
        seed=_first_integer(given, parameters, name="seed"),
        billed_seconds=billed,
        vendor={**nested.rest(), **parameters.rest(), **given.rest()},
    )
    return AskedVideo(request, provider, user, callback)


def _prompt(top: str | None, nested: str | None, among_content: str) -> str:
    said = {text for text in (top, nested, among_content) if text}
    if len(said) > 1:
        raise invalid_value("prompt", "is said twice, and differently")
    return said.pop() if said else ""


def read_user(given: Given) -> str | None:
    """Whom the client works for, for usage statistics."""
    user = given.text("user_identifier", "user")
    return None if user is None else user[:MAX_USER_IDENTIFIER]


def read_callback(given: Given) -> str | None:
    """Where the client wants to be told of the end."""
    url = given.text("callback_url")
    if url is not None and not (len(url) <= MAX_LINK and is_link(url)):
        raise invalid_value("callback_url", f"must be an http or https address of at most {MAX_LINK} characters")
    return url


def _inputs(given: Given, nested: Given) -> tuple[str, tuple[MediaInput, ...]]:
    """The prompt that stands among them, and the files."""
    found = [one for name, role in _INPUTS.items() for one in given.inputs(name, role)]
    texts: list[str] = []
    for section, name in ((nested, "media"), (given, "content")):
        _, items = section.take(name)
        if items is not None and not isinstance(items, list):
            raise wrong_type(section.at(name), "a list")
        for number, item in enumerate(items or ()):
            found += _item(item, section.at(f"{name}[{number}]"), texts)
    return "\n".join(texts), tuple(found)


def _item(item: object, path: str, texts: list[str]) -> Iterator[MediaInput]:
    if not isinstance(item, dict):
        raise wrong_type(path, "an object")
    kind = item.get("role") or item.get("type")
    if item.get("type") == "text":
        texts.append(str(item.get("text", "")))
        return
    role = _ROLES.get(kind) if isinstance(kind, str) else None
    if role is None:
        raise invalid_value(f"{path}.type", f"must be one of {', '.join(_ROLES)}")
    link = item.get("url") or item.get(str(item.get("type"))) or item.get("data")
    yield MediaInput(role, media_of(link, f"{path}.url"), path)


def _lengths(given: Given, parameters: Given, inputs: tuple[MediaInput, ...]) -> tuple[float | None, float | None]:
    """Seconds to make, and seconds that are only said for the price: the top-level ``duration`` beside a video that is
    edited, which is as long as it is."""
    nested_s = parameters.number("duration", "seconds")
    name = "seconds" if "seconds" in given else "duration"
    top_s = given.number("seconds", "duration")
    for number, where in ((nested_s, parameters.at("duration")), (top_s, given.at(name))):
        if number is not None and number <= 0 and number != -1:
            raise invalid_value(where, "must be above zero")
    edits = any(one.role is InputRole.SOURCE_VIDEO for one in inputs)
    if edits and name == "duration" and top_s is not None:
        return nested_s, top_s
    if nested_s is not None and top_s is not None and nested_s != top_s:
        raise invalid_value(given.at(name), f"says another length than {parameters.at('duration')}")
    return nested_s if nested_s is not None else top_s, None


def _shape(given: Given, parameters: Given) -> tuple[str | None, str | None]:
    """Resolution and ratio; a size in pixels says both."""
    resolution = parameters.text("resolution") or given.text("resolution")
    ratio = parameters.text("ratio", "aspect_ratio") or given.text("ratio", "aspect_ratio")
    for section in (parameters, given):
        size = section.text("size")
        if size is None:
            continue
        found = _SIZE.fullmatch(size.strip())
        if found is None:
            resolution = resolution or size
            continue
        width, height = int(found[1]), int(found[2])
        factor = math.gcd(width, height)
        short = min(width, height)
        said = "4k" if short >= 2160 else f"{short}p"
        if resolution is not None and resolution.lower() != said:
            raise invalid_value(section.at("size"), f"is not of the resolution {resolution}")
        resolution, ratio = said, ratio or f"{width // factor}:{height // factor}"
    return resolution.lower() if resolution else None, ratio


def _only_one(given: Given) -> None:
    count = given.integer("n")
    if count is not None and count != 1:
        raise invalid_value(given.at("n"), "must be 1: each request makes one video")


def _sound(given: Given, parameters: Given) -> bool | None:
    said = given.flag("generate_audio")
    if said is None:
        said = parameters.flag("generate_audio")
    for section in (given, parameters):
        if said is None and isinstance(section.peek("audio"), bool):
            said = section.flag("audio")
    return said


def _first_text(*sections: Given, name: str) -> str | None:
    return next((text for section in sections if (text := section.text(name)) is not None), None)


def _first_flag(*sections: Given, name: str) -> bool | None:
    return next((flag for section in sections if (flag := section.flag(name)) is not None), None)


def _first_integer(*sections: Given, name: str) -> int | None:
    return next((number for section in sections if (number := section.integer(name)) is not None), None)

"""What DashScope checks, and what it bills: the rules of the simulator. They are written down apart from what the plugin
knows, so that neither can hide the other's mistakes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

SOURCE_S = 6.62
"""The length of a video to be edited, unless its link says ``?seconds=``."""
LONGEST_S = 15.0
RATIOS = frozenset({"16:9", "9:16", "1:1", "4:3", "3:4"})
MORE_RATIOS = RATIOS | {"4:5", "5:4", "9:21", "21:9"}
OF_VIDEOS = frozenset({"resolution", "ratio", "duration", "watermark", "seed", "audio_setting"})
OF_IMAGES = frozenset({"size", "n", "watermark", "seed", "negative_prompt", "prompt_extend", "thinking_mode"})
FROM_THE_SDK = frozenset({"extend_prompt", "function"})
"""Fields of ``input`` that the official SDK always sends."""
ALSO_FROM_THE_SDK = frozenset({"is_async"})
"""A parameter that it sends with image tasks."""


class Rejected(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def require(name: str, fits: bool) -> None:
    if not fits:
        raise Rejected(400, "InvalidParameter", f"{name} is missing or invalid")


# --- videos -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Video:
    """``media``: of each type, the fewest and the most."""

    media: Mapping[str, tuple[int, int]]
    ratios: frozenset[str]
    resolutions: frozenset[str]
    prompt: bool = True
    edits: bool = False


def _videos(version: str, ratios: frozenset[str], resolutions: frozenset[str]) -> dict[str, _Video]:
    return {
        f"happyhorse-{version}-t2v": _Video({}, ratios, resolutions),
        f"happyhorse-{version}-i2v": _Video({"first_frame": (1, 1)}, frozenset(), resolutions, prompt=False),
        f"happyhorse-{version}-r2v": _Video({"reference_image": (1, 9)}, ratios, resolutions),
    }


LINES = frozenset({"720P", "1080P"})
VIDEOS: Mapping[str, _Video] = {
    **_videos("1.0", RATIOS, LINES),
    **_videos("1.1", MORE_RATIOS, LINES | {"480P"}),
    "happyhorse-1.0-video-edit": _Video(
        {"video": (1, 1), "reference_image": (0, 5)}, frozenset(), LINES, prompt=True, edits=True
    ),
}


def check_video(body: Mapping[str, Any]) -> None:
    """Raises ``Rejected``."""
    rules = _of(VIDEOS, body)
    given, parameters = _parts(body)
    require("input", given.keys() <= {"prompt", "media"} | FROM_THE_SDK)
    require("parameters", parameters.keys() <= OF_VIDEOS)
    require("input.prompt", not rules.prompt or bool(str(given.get("prompt") or "").strip()))
    _check_media(given.get("media") or [], rules)
    require("parameters.resolution", parameters.get("resolution", "1080P") in rules.resolutions)
    require("parameters.ratio", "ratio" not in parameters or parameters["ratio"] in rules.ratios)
    require("parameters.duration", "duration" not in parameters or not rules.edits)
    require("parameters.audio_setting", "audio_setting" not in parameters or rules.edits)
    require("parameters.audio_setting", parameters.get("audio_setting", "auto") in ("auto", "origin"))
    duration = parameters.get("duration", 5)
    require("parameters.duration", type(duration) is int and 3 <= duration <= 15)
    _check_common(parameters)


def _check_media(media: Any, rules: _Video) -> None:
    require("input.media", isinstance(media, list))
    types = [item.get("type") for item in media]
    require("input.media", set(types) <= rules.media.keys())
    for name, (fewest, most) in rules.media.items():
        require("input.media", fewest <= types.count(name) <= most)
    for item in media:
        if not str(item.get("url")).startswith(("http://", "https://", "oss://")):
            raise Rejected(400, "InvalidURL", "The media URL is invalid.")


def video_usage(body: Mapping[str, Any]) -> dict[str, object]:
    """Of a success. What is billed is ``duration``."""
    given, parameters = _parts(body)
    source_s = max(
        (source_seconds(item["url"]) for item in given.get("media") or [] if item["type"] == "video"), default=0
    )
    made_s = source_s or parameters.get("duration", 5)
    ratio = {} if source_s else {"ratio": parameters.get("ratio", "16:9")}
    return {
        "duration": round(source_s + made_s, 2),
        "input_video_duration": source_s,
        "output_video_duration": made_s,
        "video_count": 1,
        "SR": int(parameters.get("resolution", "1080P").removesuffix("P")),
        **ratio,
    }


def source_seconds(url: str) -> float:
    """What is used of a video: no more than ``LONGEST_S``."""
    said = parse_qs(urlsplit(url).query).get("seconds")
    return min(float(said[0]) if said else SOURCE_S, LONGEST_S)


# --- images -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Image:
    """``inputs``: the fewest and the most; ``fits``: whether it makes such an image, by width, height and whether images
    go in."""

    count: int
    inputs: tuple[int, int]
    fits: Callable[[int, int, bool], bool]
    names: frozenset[str] = frozenset()
    refuses: frozenset[str] = frozenset()
    task: bool = False


def _area(fewest: int, most: int, most_of_edits: int | None = None) -> Callable[[int, int, bool], bool]:
    return lambda width, height, edit: fewest <= width * height <= ((edit and most_of_edits) or most)


def _sides(width: int, height: int, _edit: bool) -> bool:
    return min(width, height) >= 512 and max(width, height) <= 2048


def _fixed(width: int, height: int, _edit: bool) -> bool:
    return f"{width}*{height}" in ("1664*928", "1472*1104", "1328*1328", "1104*1472", "928*1664")


_EDITING = _Image(6, (1, 3), _sides, refuses=frozenset({"thinking_mode"}))
_PLAIN = frozenset({"thinking_mode"})
_WAN = frozenset({"negative_prompt"})
IMAGES: Mapping[str, _Image] = {
    "qwen-image": _Image(1, (0, 0), _fixed, refuses=_PLAIN),
    "qwen-image-plus": _Image(1, (0, 0), _fixed, refuses=_PLAIN),
    "qwen-image-max": _Image(1, (0, 0), _fixed, refuses=_PLAIN),
    "qwen-image-2.0": _Image(6, (0, 3), _area(512**2, 2048**2), refuses=_PLAIN),
    "qwen-image-2.0-pro": _Image(6, (0, 3), _area(512**2, 2048**2), refuses=_PLAIN),
    "qwen-image-3.0-pro": _Image(6, (0, 3), _area(512**2, 2560**2), refuses=_PLAIN),
    "qwen-image-edit": _Image(1, (1, 3), _sides, refuses=_PLAIN | {"size"}),
    "qwen-image-edit-plus": _EDITING,
    "qwen-image-edit-max": _EDITING,
    "z-image-turbo": _Image(
        1, (0, 0), _area(512**2, 2048**2), refuses=frozenset({"thinking_mode", "negative_prompt", "watermark"})
    ),
    "wan2.6-t2i": _Image(4, (0, 0), _area(1280**2, 1440**2), refuses=_PLAIN, task=True),
    "wan2.7-image": _Image(4, (0, 9), _area(768**2, 2048**2), frozenset({"1K", "2K"}), _WAN, task=True),
    "wan2.7-image-pro": _Image(
        4, (0, 9), _area(768**2, 4096**2, 2048**2), frozenset({"1K", "2K", "4K"}), _WAN, task=True
    ),
}


def check_image(body: Mapping[str, Any], *, task: bool) -> int:
    """How many images are asked for. Raises ``Rejected``."""
    rules = _of(IMAGES, body)
    given, parameters = _parts(body)
    if task and not rules.task:
        raise Rejected(403, "AccessDenied", "current user api does not support asynchronous calls.")
    require("input", given.keys() == {"messages"} and len(given["messages"]) == 1)
    require("parameters", parameters.keys() <= (OF_IMAGES | ALSO_FROM_THE_SDK) - rules.refuses)
    message = given["messages"][0]
    require("input.messages", message["role"] == "user")
    content = message["content"]
    pictures = [part["image"] for part in content if "image" in part]
    fewest, most = rules.inputs
    require("input.messages.content", fewest <= len(pictures) <= most)
    require("input.messages.content", sum("text" in part for part in content) == 1 and bool(prompt_of(body).strip()))
    for url in pictures:
        require("input.messages.content.image", bool(re.match(r"https?://|oss://|data:image/\w+;base64,", url)))
    _check_size(parameters, rules, bool(pictures))
    require("parameters.n", type(parameters.get("n", 1)) is int and 1 <= parameters.get("n", 1) <= rules.count)
    require("parameters.thinking_mode", not pictures or "thinking_mode" not in parameters)
    _check_common(parameters)
    return int(parameters.get("n", 1))


def _check_size(parameters: Mapping[str, Any], rules: _Image, edit: bool) -> None:
    size = parameters.get("size")
    if size is None:
        return
    require("parameters.size", not (size == "4K" and edit))
    found = re.fullmatch(r"(\d+)\*(\d+)", size)
    fits = found is not None and rules.fits(int(found[1]), int(found[2]), edit)
    require("parameters.size", size in rules.names or fits)


# --- both -------------------------------------------------------------------------------------------------------------


def prompt_of(body: Mapping[str, Any]) -> str:
    given = body["input"]
    if "messages" in given:
        return " ".join(part["text"] for part in given["messages"][0]["content"] if "text" in part)
    return str(given.get("prompt") or "")


def _of(models: Mapping[str, Any], body: Mapping[str, Any]) -> Any:
    require("model", isinstance(body.get("model"), str))
    require("the body", body.keys() <= {"model", "input", "parameters"})
    rules = models.get(re.sub(r"-\d{4}-\d{2}-\d{2}$", "", body["model"]))
    if rules is None:
        raise Rejected(404, "ModelNotFound", f"The model {body['model']} does not exist.")
    return rules


def _parts(body: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    given, parameters = body.get("input"), body.get("parameters", {})
    require("input", isinstance(given, dict))
    require("parameters", isinstance(parameters, dict))
    assert isinstance(given, dict)
    return given, parameters


def _check_common(parameters: Mapping[str, Any]) -> None:
    for name in ("watermark", "prompt_extend", "thinking_mode"):
        require(f"parameters.{name}", isinstance(parameters.get(name, False), bool))
    seed = parameters.get("seed", 0)
    require("parameters.seed", type(seed) is int and 0 <= seed < 2**31)

"""What Ark checks, and what it bills: the rules of the simulator."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from relayhub.sdk import ClientError
from relayhub_seedance.traits import IMAGE_MODELS, VIDEO_MODELS, ImageTraits, VideoTraits, traits_of

SIDES: Mapping[str, Mapping[str, tuple[int, int]]] = {
    "480p": {"16:9": (864, 496), "4:3": (752, 560), "1:1": (640, 640), "21:9": (992, 432)},
    "720p": {"16:9": (1280, 720), "4:3": (1120, 832), "1:1": (960, 960), "21:9": (1504, 640)},
    "1080p": {"16:9": (1920, 1088), "4:3": (1664, 1248), "1:1": (1440, 1440), "21:9": (2176, 928)},
    "4k": {"16:9": (3840, 2176), "4:3": (3328, 2496), "1:1": (2880, 2880), "21:9": (4352, 1856)},
}

TURNED = {"3:4": "4:3", "9:16": "16:9"}
KNOWN = frozenset(
    {"model", "content", "safety_identifier", "callback_url", "return_last_frame", "service_tier", "priority", "draft"}
    | {"execution_expires_after", "generate_audio", "camera_fixed", "watermark", "seed", "resolution", "ratio"}
    | {"duration", "frames", "tools", "output_format", "omni_reference_task_type"}
)
KNOWN_OF_IMAGES = frozenset(
    {"model", "prompt", "image", "size", "response_format", "seed", "guidance_scale", "watermark", "output_format"}
    | {"sequential_image_generation", "sequential_image_generation_options", "optimize_prompt_options"}
)
ROLES = {
    "image_url": ("first_frame", "last_frame", "reference_image"),
    "video_url": ("reference_video",),
    "audio_url": ("reference_audio",),
}
PROMPT_FLAG = re.compile(r"\s--(dur|duration|rs|resolution)\s+(\S+)")
FLAG_FIELDS = {"dur": "duration", "duration": "duration", "rs": "resolution", "resolution": "resolution"}
REFERENCE_S = 5


class Rejected(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def check_video(body: Mapping[str, object]) -> None:
    """Raises ``Rejected``."""
    traits = video_model(body)
    _check_known(body, KNOWN)
    _check_content(body, traits)
    _check_parameters(body, traits)


def check_image(body: Mapping[str, object]) -> tuple[int, int]:
    """The pixels of one image, and how many there will be: as many as may be. Raises ``Rejected``."""
    traits: ImageTraits = model_of(body, IMAGE_MODELS)
    _check_known(body, KNOWN_OF_IMAGES)
    return _check_image(body, traits)


def _invalid(name: str) -> Rejected:
    return Rejected(400, "InvalidParameter", f"The parameter `{name}` specified in the request is not valid.")


def require(name: str, fits: bool) -> None:
    if not fits:
        raise _invalid(name)


def video_model(body: Mapping[str, object]) -> VideoTraits:
    traits: VideoTraits = model_of(body, VIDEO_MODELS)
    return traits


def model_of(body: Mapping[str, object], models: Mapping[str, Any]) -> Any:
    name = body.get("model")
    if not isinstance(name, str):
        raise Rejected(400, "MissingParameter", "The request failed because it is missing `model` parameter.")
    try:
        return traits_of(name, models, {})
    except ClientError as error:
        missing = "The model or endpoint does not exist or you do not have access to it."
        raise Rejected(404, "InvalidEndpointOrModel.NotFound", missing) from error


def _check_known(body: Mapping[str, object], known: frozenset[str]) -> None:
    for name in body.keys() - known:
        raise _invalid(name)


def _content(body: Mapping[str, object]) -> list[Any]:
    content = body.get("content")
    if not isinstance(content, list) or not content:
        raise Rejected(400, "MissingParameter", "The request failed because it is missing `content` parameter.")
    return content


def prompt_of(body: Mapping[str, object]) -> str:
    return " ".join(item["text"] for item in _content(body) if item.get("type") == "text")


def _check_content(body: Mapping[str, object], traits: VideoTraits) -> None:
    roles = [_check_item(item) for item in _content(body) if item.get("type") not in ("text", "draft_task")]
    limits = {
        "first_frame": int(traits.first_frame),
        "last_frame": int(traits.last_frame),
        "reference_image": traits.reference_images,
        "reference_video": traits.reference_videos,
        "reference_audio": traits.reference_audios,
    }
    for role in roles:
        require("content", roles.count(role) <= limits[role])
    frames = {"first_frame", "last_frame"} & set(roles)
    require("content", not frames or frames == set(roles))
    require("content", "last_frame" not in roles or "first_frame" in roles)
    require("content", set(roles) != {"reference_audio"} or traits.audio_alone)
    require("content", bool(roles) or traits.text)


def _check_item(item: Mapping[str, Any]) -> str:
    kind = item.get("type")
    if kind not in ROLES:
        raise _invalid("content.type")
    url = item[kind]["url"]
    fits = url.startswith(("http://", "https://", "asset://")) or (
        kind != "video_url" and url.startswith(f"data:{kind.removesuffix('_url')}/") and ";base64," in url
    )
    require("content.url", fits)
    role = item.get("role", "first_frame" if kind == "image_url" else None)
    if role not in ROLES[kind]:
        raise _invalid("content.role")
    return str(role)


def _check_parameters(body: Mapping[str, object], traits: VideoTraits) -> None:
    for name in ("generate_audio", "watermark", "camera_fixed", "return_last_frame", "draft"):
        require(name, isinstance(body.get(name, False), bool))
    for name, takes in (
        ("generate_audio", traits.audio),
        ("seed", traits.seed),
        ("camera_fixed", traits.camera_fixed),
        ("frames", traits.frames),
        ("priority", traits.priority),
        ("draft", traits.draft),
        ("omni_reference_task_type", bool(traits.task_types)),
    ):
        require(name, takes or name not in body)
    require("resolution", body.get("resolution", traits.resolution) in traits.resolutions)
    require("ratio", body.get("ratio", "adaptive") in {*SIDES["720p"], *TURNED, "adaptive"})
    require("service_tier", body.get("service_tier", "default") in ("default", *(("flex",) if traits.flex else ())))
    require("output_format", body.get("output_format", "mp4") in traits.output_formats)
    require("safety_identifier", 0 < len(str(body.get("safety_identifier", "x"))) <= 64)
    require("omni_reference_task_type", body.get("omni_reference_task_type", "auto") in ("auto", *traits.task_types))
    _check_ratio(body, traits)
    _check_numbers(body, traits)


def _check_ratio(body: Mapping[str, object], traits: VideoTraits) -> None:
    framed = any(item.get("role", "").endswith("_frame") for item in _content(body))
    bound = traits.adaptive_only and (framed or body.get("omni_reference_task_type") in ("edit", "extend"))
    require("ratio", not bound or body.get("ratio", "adaptive") == "adaptive")
    alone = all(item["type"] == "text" for item in _content(body))
    require("ratio", not alone or traits.adaptive_text or body.get("ratio") != "adaptive")


def _check_numbers(body: Mapping[str, object], traits: VideoTraits) -> None:
    seconds = body.get("duration", traits.min_s)
    fits = type(seconds) is int and (traits.min_s <= seconds <= traits.max_s or (seconds == -1 and traits.auto_s))
    require("duration", fits)
    frames = body.get("frames", 29)
    require("frames", type(frames) is int and frames in range(29, 290, 4))
    expires = body.get("execution_expires_after", 172_800)
    require("execution_expires_after", type(expires) is int and 3_600 <= expires <= 259_200)
    priority = body.get("priority", 0)
    require("priority", type(priority) is int and 0 <= priority <= 9)
    require("seed", type(body.get("seed", 0)) is int)


def flags_in(prompt: str) -> dict[str, object]:
    """What a prompt overrides without being asked; a value that makes no sense is ignored."""
    found: dict[str, object] = {}
    for name, text in PROMPT_FLAG.findall(f" {prompt}"):
        field = FLAG_FIELDS[name]
        if field == "resolution" and text in SIDES:
            found[field] = text
        elif field == "duration" and text.isdecimal():
            found[field] = int(text)
    return found


def _check_image(body: Mapping[str, object], traits: ImageTraits) -> tuple[int, int]:
    require("prompt", bool(body.get("prompt")))
    given = body.get("image", [])
    images = given if isinstance(given, list) else [given]
    require("image", len(images) <= traits.inputs and (bool(images) or not traits.needs_input))
    require("image", all(str(url).startswith(("http://", "https://", "asset://", "data:image/")) for url in images))
    require("response_format", body.get("response_format", "url") in ("url", "b64_json"))
    require("output_format", "output_format" not in body or body["output_format"] in traits.output_formats)
    require("seed", traits.seed or "seed" not in body)
    require("sequential_image_generation", bool(traits.together) or "sequential_image_generation" not in body)
    count = 1
    if body.get("sequential_image_generation") == "auto":
        options = body.get("sequential_image_generation_options")
        count = int(number(options.get("max_images") if isinstance(options, dict) else None, 15))
        require("sequential_image_generation_options", 1 <= count <= traits.together - len(images))
    return _image_pixels(str(body.get("size", traits.size)), traits), count


def _image_pixels(size: str, traits: ImageTraits) -> int:
    if size.lower() in traits.sizes:
        side: int = 1024 * int(size[0])
        return side * side
    if size == traits.size and "x" not in size:
        return 1024 * 1024
    found = re.fullmatch(r"(\d+)x(\d+)", size)
    pixels = int(found[1]) * int(found[2]) if found else 0
    require("size", traits.min_pixels <= pixels <= traits.max_pixels)
    return pixels


def tokens_of(resolution: str, ratio: str, frames: int) -> int:
    sides = SIDES[resolution]
    pixels = {name: width * height for name, (width, height) in sides.items()}
    return pixels.get(TURNED.get(ratio, ratio), max(pixels.values())) * frames // 1024


def input_s(asked: Mapping[str, object], traits: VideoTraits) -> int:
    videos = len([item for item in _content(asked) if item.get("type") == "video_url"])
    return min(videos * REFERENCE_S, traits.reference_s)


def number(value: object, usual: float) -> float:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else usual

"""What Kling checks: the rules of the simulator. Written from the documents, apart from what the wire believes; only the
tables of the models are shared."""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Mapping
from typing import Any

from relayhub_kling.traits import IMAGE_MODELS, MODES, VIDEO_MODELS, ImageTraits, VideoTraits

VIDEO_RATIOS = ("16:9", "9:16", "1:1")
IMAGE_RATIOS = ("16:9", "9:16", "1:1", "4:3", "3:4", "3:2", "2:3", "21:9")
COMMON = frozenset({"model_name", "prompt", "callback_url", "external_task_id"})
VIDEO = COMMON | {"negative_prompt", "mode", "duration", "sound", "cfg_scale", "watermark_info"}
SHOTS = frozenset({"multi_shot", "shot_type", "multi_prompt"})
KNOWN: Mapping[str, frozenset[str]] = {
    "/v1/videos/text2video": VIDEO | SHOTS | {"aspect_ratio", "camera_control", "voice_list"},
    "/v1/videos/image2video": VIDEO
    | SHOTS
    | {"image", "image_tail", "camera_control", "static_mask", "dynamic_masks", "voice_list", "element_list"},
    "/v1/videos/multi-image2video": (VIDEO - {"cfg_scale", "sound"}) | {"image_list", "aspect_ratio"},
    "/v1/videos/omni-video": (VIDEO - {"negative_prompt", "cfg_scale"})
    | SHOTS
    | {"image_list", "video_list", "element_list", "aspect_ratio"},
    "/v1/videos/video-extend": COMMON - {"model_name"} | {"video_id", "negative_prompt", "cfg_scale"},
    "/v1/images/generations": COMMON
    | {"negative_prompt", "image", "image_reference", "image_fidelity", "human_fidelity"}
    | {"resolution", "n", "aspect_ratio"},
    "/v1/images/multi-image2image": COMMON | {"image_list", "n", "resolution", "aspect_ratio"},
    "/v1/images/omni-image": COMMON | {"image_list", "n", "resolution", "aspect_ratio"},
}
SECOND_KINDS = ("text-to-video", "image-to-video", "omni-video")
SETTINGS = frozenset({"resolution", "aspect_ratio", "duration", "audio", "multi_shot"})
OPTIONS = frozenset({"callback_url", "external_task_id", "watermark_info"})
CONTENTS: Mapping[str, frozenset[str]] = {
    "prompt": frozenset({"type", "text"}),
    "first_frame": frozenset({"type", "url"}),
    "last_frame": frozenset({"type", "url"}),
    "refer_image": frozenset({"type", "url", "id"}),
    "feature_video": frozenset({"type", "url", "id"}),
    "base_video": frozenset({"type", "url", "id"}),
    "element": frozenset({"type", "element_id", "id"}),
}


class Rejected(Exception):
    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def require(name: str, fits: bool, value: object = "") -> None:
    if not fits:
        raise Rejected(400, 1201, f"{name} value '{value}' is invalid")


def check_classic(path: str, body: Mapping[str, Any]) -> int:
    """How many slots it takes. Raises ``Rejected``."""
    for name in body:
        require(name, name in KNOWN[path])
    for name in ("prompt", "negative_prompt"):
        require(name, len(body.get(name, "")) <= 2500)
    if path.startswith("/v1/images/"):
        return _check_image(path, body)
    if path == "/v1/videos/video-extend":
        require("video_id", isinstance(body.get("video_id"), str))
        return 1
    _check_video(path, body, _model(body.get("model_name"), VIDEO_MODELS))
    return 1


def _model(name: object, models: Mapping[str, Any]) -> Any:
    if name not in models:
        raise Rejected(404, 1203, "model is not supported")
    return models[str(name)]


def _picture(name: str, value: object) -> None:
    require(name, isinstance(value, str) and bool(value))
    text = str(value)
    if text.startswith(("http://", "https://")):
        return
    try:
        b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Rejected(400, 1201, f"{name} is neither a URL nor base64") from error


# --- classic videos ---------------------------------------------------------------------------------------------------


def _check_video(path: str, body: Mapping[str, Any], traits: VideoTraits) -> None:
    if traits.api != "classic" or traits.omni is not (path == "/v1/videos/omni-video"):
        raise Rejected(404, 1203, "model is not supported")
    mode = body.get("mode", "std")
    require("mode", mode in MODES and MODES[mode] in traits.resolutions, mode)
    _check_length(body, traits)
    sound = body.get("sound", "off")
    require("sound", sound == "off" or (sound == "on" and MODES[mode] in traits.audio), sound)
    require("cfg_scale", "cfg_scale" not in body or (traits.cfg_scale and 0 <= body["cfg_scale"] <= 1))
    require("negative_prompt", traits.negative_prompt or "negative_prompt" not in body)
    require("aspect_ratio", body.get("aspect_ratio", "16:9") in VIDEO_RATIOS, body.get("aspect_ratio"))
    require("voice_list", "voice_list" not in body or len(body["voice_list"]) <= traits.voices)
    require("element_list", "element_list" not in body or traits.elements)
    _check_camera(body, mode, traits)
    _check_shots(body, traits)
    _check_watermark(body)
    checks = {
        "/v1/videos/text2video": _check_text,
        "/v1/videos/image2video": _check_frames,
        "/v1/videos/multi-image2video": _check_references,
        "/v1/videos/omni-video": _check_omni,
    }
    checks[path](body, traits)


def _check_length(body: Mapping[str, Any], traits: VideoTraits) -> None:
    said = body.get("duration", "5")
    edits = any(item.get("refer_type") == "base" for item in body.get("video_list", ()))
    require("duration", not edits or "duration" not in body)
    require("duration", edits or (isinstance(said, str) and said.isdecimal() and int(said) in traits.seconds), said)


def _check_text(body: Mapping[str, Any], traits: VideoTraits) -> None:
    require("prompt", bool(body.get("prompt")) or bool(body.get("multi_prompt")))
    if not traits.text:
        raise Rejected(404, 1203, "model is not supported")


def _check_frames(body: Mapping[str, Any], traits: VideoTraits) -> None:
    require("image", "image" in body or "image_tail" in body)
    for name in ("image", "image_tail"):
        if name in body:
            _picture(name, body[name])
    require("image_tail", "image_tail" not in body or MODES[body.get("mode", "std")] in traits.last_frame)


def _check_references(body: Mapping[str, Any], traits: VideoTraits) -> None:
    images = body.get("image_list", [])
    require("image_list", 1 <= len(images) <= traits.references)
    require("prompt", bool(body.get("prompt")))
    for item in images:
        require("image_list", item.keys() == {"image"})
        _picture("image", item["image"])


def _check_omni(body: Mapping[str, Any], traits: VideoTraits) -> None:
    require("prompt", bool(body.get("prompt")) or bool(body.get("multi_prompt")))
    images, videos = body.get("image_list", []), body.get("video_list", [])
    for item in images:
        _picture("image_url", item["image_url"])
    kinds = [item.get("type") for item in images]
    require("image_list", all(kind in (None, "first_frame", "end_frame") for kind in kinds))
    require("image_list", all(kinds.count(kind) <= 1 for kind in ("first_frame", "end_frame")))
    require("image_list", "end_frame" not in kinds or "first_frame" in kinds)
    room = 4 if videos else traits.references
    require("image_list", len(images) + len(body.get("element_list", ())) <= (room if videos else 7))
    require("video_list", len(videos) <= int(traits.clips))
    base = False
    for item in videos:
        require("video_url", str(item.get("video_url")).startswith(("http://", "https://")))
        require("refer_type", item.get("refer_type") in ("feature", "base"))
        require("keep_original_sound", item.get("keep_original_sound", "yes") in ("yes", "no"))
        base = base or item["refer_type"] == "base"
    require("sound", not videos or body.get("sound", "off") == "off")
    framed = any(kind is not None for kind in kinds)
    require("video_list", not (base and framed))
    require("aspect_ratio", "aspect_ratio" in body or framed or base)


def _check_camera(body: Mapping[str, Any], mode: str, traits: VideoTraits) -> None:
    control = body.get("camera_control")
    if control is None:
        return
    require("camera_control", MODES[mode] in traits.camera and body.get("duration", "5") == "5")
    moves = [amount for amount in control.get("config", {}).values() if amount]
    require("camera_control", (control["type"] == "simple") is (len(moves) == 1))
    require("camera_control", all(-10 <= amount <= 10 for amount in moves))


def _check_shots(body: Mapping[str, Any], traits: VideoTraits) -> None:
    if not body.get("multi_shot"):
        require("multi_prompt", "multi_prompt" not in body and "shot_type" not in body)
        return
    require("multi_shot", traits.shots)
    require("shot_type", body.get("shot_type") in ("customize", "intelligence"))
    shots = body.get("multi_prompt", [])
    if body["shot_type"] == "customize":
        require("multi_prompt", 1 <= len(shots) <= 6)
        total = sum(int(shot["duration"]) for shot in shots)
        require("multi_prompt", total == int(body.get("duration", "5")))


def _check_watermark(body: Mapping[str, Any]) -> None:
    info = body.get("watermark_info", {"enabled": False})
    require("watermark_info", isinstance(info, dict) and isinstance(info.get("enabled"), bool))


# --- images -----------------------------------------------------------------------------------------------------------


def _check_image(path: str, body: Mapping[str, Any]) -> int:
    traits: ImageTraits = _model(body.get("model_name"), IMAGE_MODELS)
    if traits.omni is not (path == "/v1/images/omni-image"):
        raise Rejected(404, 1203, "model is not supported")
    require("prompt", bool(body.get("prompt")))
    require("negative_prompt", "negative_prompt" not in body or "image" not in body)
    require("resolution", body.get("resolution", "1k") in traits.resolutions, body.get("resolution"))
    require("aspect_ratio", body.get("aspect_ratio", "16:9") in IMAGE_RATIOS, body.get("aspect_ratio"))
    for name in ("image_reference", "image_fidelity", "human_fidelity"):
        require(name, name not in body or (traits.subject and "image" in body))
    if "image" in body:
        _picture("image", body["image"])
    listed = body.get("image_list", [])
    require("image_list", len(listed) <= traits.references)
    require("image_list", bool(listed) or path != "/v1/images/multi-image2image")
    for item in listed:
        require("image_list", item.keys() == {"image"})
        _picture("image", item["image"])
    count = body.get("n", 1)
    require("n", type(count) is int and 1 <= count <= 9, count)
    return int(count)


# --- second generation ------------------------------------------------------------------------------------------------


def check_second(kind: str, model: str, body: Mapping[str, Any]) -> VideoTraits:
    """Raises ``Rejected``."""
    traits: VideoTraits = _model(model, VIDEO_MODELS)
    known = {"prompt"} if kind == "text-to-video" else {"contents"}
    for name in body:
        require(name, name in known | {"settings", "options"})
    if traits.api != "second" or traits.upstream_name or traits.omni is not (kind == "omni-video"):
        raise Rejected(404, 1203, "model is not supported")
    contents = _contents(kind, body)
    types = [item["type"] for item in contents]
    _check_types(kind, types, traits)
    _check_settings(body.get("settings", {}), types, traits)
    options = body.get("options", {})
    require("options", options.keys() <= OPTIONS)
    _check_watermark(options)
    return traits


def _contents(kind: str, body: Mapping[str, Any]) -> list[Any]:
    if kind == "text-to-video":
        require("prompt", bool(body.get("prompt")))
        return []
    contents = body.get("contents")
    if not isinstance(contents, list) or not contents:
        raise Rejected(400, 1201, "contents is required")
    for item in contents:
        require("type", item.get("type") in CONTENTS)
        require("contents", item.keys() == CONTENTS[item["type"]])
        if item["type"].endswith("_video"):
            require("url", str(item["url"]).startswith(("http://", "https://")))
        elif "url" in item:
            _picture("url", item["url"])
    return contents


def _check_types(kind: str, types: list[str], traits: VideoTraits) -> None:
    for name in CONTENTS:
        require(name, types.count(name) <= (traits.references if name in ("refer_image", "element") else 1))
    require("last_frame", "last_frame" not in types or "first_frame" in types)
    require("first_frame", kind != "image-to-video" or "first_frame" in types)
    plain = {"prompt", "first_frame", "last_frame"}
    require("contents", kind == "omni-video" or set(types) <= plain)
    require("base_video", "base_video" not in types or not {"first_frame", "feature_video"} & set(types))


def _check_settings(settings: Mapping[str, Any], types: list[str], traits: VideoTraits) -> None:
    require("settings", settings.keys() <= SETTINGS)
    require("resolution", settings.get("resolution", "720p") in traits.resolutions)
    seconds = settings.get("duration", 5)
    require("duration", type(seconds) is int and seconds in traits.seconds, seconds)
    require("duration", "base_video" not in types or "duration" not in settings)
    framed = "first_frame" in types or "base_video" in types
    require("aspect_ratio", not framed or "aspect_ratio" not in settings)
    require("aspect_ratio", settings.get("aspect_ratio", "16:9") in VIDEO_RATIOS)
    clips = {"base_video", "feature_video"} & set(types)
    audio = settings.get("audio", "off")
    require("audio", audio in ("off", "original" if clips else "native"), audio)
    require("multi_shot", isinstance(settings.get("multi_shot", True), bool))

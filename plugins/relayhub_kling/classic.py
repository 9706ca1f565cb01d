"""Videos by the classic API: flat fields, and a path for each kind of task."""

from __future__ import annotations

from collections.abc import Mapping

from relayhub.sdk import MediaUsage, VideoRequest
from relayhub_kling.asked import Api, Asked
from relayhub_kling.camera import camera_control
from relayhub_kling.inputs import Place, Placed, clip, picture
from relayhub_kling.refusal import needs, number, refusal, refuse, text
from relayhub_kling.terms import MAX_PROMPT, TERMS, Terms
from relayhub_kling.traits import MODES, VideoTraits

TEXT = "/v1/videos/text2video"
IMAGE = "/v1/videos/image2video"
REFERENCES = "/v1/videos/multi-image2video"
OMNI = "/v1/videos/omni-video"
EXTEND = "/v1/videos/video-extend"

MODE_OF = {resolution: mode for mode, resolution in MODES.items()}
EXTENDED_S = 5
"""What an extension adds, at most."""
BESIDE_ELEMENTS = 7
"""Images and elements together."""


def classic(
    model: str, request: VideoRequest, vendor: Mapping[str, object], traits: VideoTraits, terms: Terms
) -> Asked:
    path = _path(terms, traits)
    body = {
        "model_name": traits.upstream_name or model,
        **({"prompt": terms.prompt} if terms.prompt.strip() else {}),
        **({"negative_prompt": request.negative_prompt} if request.negative_prompt else {}),
        **_inputs(path, terms),
        "mode": MODE_OF[terms.resolution],
        **({} if terms.audio is None else {"sound": "on" if terms.audio else "off"}),
        **({} if terms.seconds is None else {"duration": str(terms.seconds)}),
        **({} if terms.ratio is None else {"aspect_ratio": terms.ratio}),
        **terms.shots.fields,
        **({"watermark_info": {"enabled": True}} if terms.watermark else {}),
        **{name: _own(name, value, path, traits, terms) for name, value in vendor.items() if name not in TERMS},
    }
    return Asked(Api.CLASSIC, path, body, terms.usage, terms.video_ms, terms.watermark)


def _path(terms: Terms, traits: VideoTraits) -> str:
    if traits.omni:
        return OMNI
    if terms.of(Place.REFERENCE):
        return REFERENCES
    return IMAGE if terms.inputs else TEXT


def _inputs(path: str, terms: Terms) -> dict[str, object]:
    if path == REFERENCES:
        return {"image_list": [{"image": picture(one.given)} for one in terms.inputs]}
    if path == OMNI:
        return _omni_inputs(terms)
    fields = {Place.FIRST_FRAME: "image", Place.LAST_FRAME: "image_tail"}
    return {fields[one.place]: picture(one.given) for one in terms.inputs}


def _omni_inputs(terms: Terms) -> dict[str, object]:
    images = [_omni_image(one) for one in terms.inputs if not one.place.is_clip]
    sound = "yes" if terms.keeps_sound else "no"
    videos = [
        {
            "video_url": clip(one.given),
            "refer_type": "base" if one.place is Place.SOURCE else "feature",
            "keep_original_sound": sound,
        }
        for one in terms.of(Place.CLIP, Place.SOURCE)
    ]
    return {**({"image_list": images} if images else {}), **({"video_list": videos} if videos else {})}


def _omni_image(one: Placed) -> dict[str, object]:
    kinds = {Place.FIRST_FRAME: "first_frame", Place.LAST_FRAME: "end_frame"}
    return {"image_url": picture(one.given), **({"type": kinds[one.place]} if one.place in kinds else {})}


def _own(name: str, value: object, path: str, traits: VideoTraits, terms: Terms) -> object:
    match name:
        case "cfg_scale":
            needs(name, traits.cfg_scale and path in (TEXT, IMAGE))
            return number(name, value, 0, 1)
        case "camera_control":
            needs(name, path in (TEXT, IMAGE))
            return camera_control(value)
        case "element_list":
            needs(name, traits.elements and (traits.omni or bool(terms.inputs)))
            pictures = sum(not one.place.is_clip for one in terms.inputs)
            return named(name, value, "element_id", BESIDE_ELEMENTS - pictures)
        case "voice_list":
            needs(name, traits.voices > 0 and bool(terms.audio))
            return named(name, value, "voice_id", traits.voices)
        case _:
            raise refusal(name, "this upstream does not know it, or relayhub does not pass it on.")


def named(name: str, value: object, key: str, most: int) -> list[dict[str, object]]:
    """A list of things of the upstream account, by their ids."""
    if not isinstance(value, list) or not 1 <= len(value) <= most:
        refuse(name, f"it must be a list of 1 to {most} objects." if most > 0 else "there is no room for any.")
    return [{key: _id(name, item, key)} for item in value]


def _id(name: str, item: object, key: str) -> object:
    id_ = item.get(key) if isinstance(item, dict) and item.keys() == {key} else None
    if isinstance(id_, bool) or not isinstance(id_, str | int) or id_ == "":
        refuse(name, f"each of them is an object with {key}.")
    return id_


# --- extending --------------------------------------------------------------------------------------------------------


def extension(request: VideoRequest, vendor: Mapping[str, object], traits: VideoTraits) -> Asked:
    """What is not said of the source is taken to be the dearest that the model makes."""
    needs("video_id", traits.extends)
    said = (
        ("duration", request.seconds),
        ("resolution", request.resolution),
        ("ratio", request.ratio),
        ("audio", request.audio or None),
        ("watermark", request.watermark or None),
        ("seed", request.seed),
        (request.inputs[0].field if request.inputs else "image", request.inputs or None),
        *((name, value) for name, value in vendor.items() if name not in ("video_id", "cfg_scale")),
    )
    for name, value in said:
        if value is not None:
            refuse(name, "an extension goes on as its video is, and takes only a prompt.")
    body: dict[str, object] = {"video_id": text("video_id", vendor["video_id"], 128)}
    for name, prompt in (("prompt", request.prompt), ("negative_prompt", request.negative_prompt)):
        if prompt and prompt.strip():
            body[name] = text(name, prompt, MAX_PROMPT)
    if "cfg_scale" in vendor:
        body["cfg_scale"] = number("cfg_scale", vendor["cfg_scale"], 0, 1)
    most_s = max(EXTENDED_S, request.billed_seconds or 0)
    usage = MediaUsage(video_ms=round(most_s * 1000), resolution=traits.resolutions[-1], input_kind="video")
    return Asked(Api.CLASSIC, EXTEND, body, usage, EXTENDED_S * 1000)

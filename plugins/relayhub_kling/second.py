"""Videos by the second generation of the API: the model stands in the path, what goes in is a list of contents."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from relayhub_kling.asked import Api, Asked
from relayhub_kling.classic import BESIDE_ELEMENTS, named
from relayhub_kling.inputs import Place, Placed, clip, picture
from relayhub_kling.refusal import needs, refusal
from relayhub_kling.terms import TERMS, Terms
from relayhub_kling.traits import VideoTraits

TEXT = "/text-to-video"
IMAGE = "/image-to-video"
OMNI = "/omni-video"

TYPES = {
    Place.FIRST_FRAME: "first_frame",
    Place.LAST_FRAME: "last_frame",
    Place.REFERENCE: "refer_image",
    Place.CLIP: "feature_video",
    Place.SOURCE: "base_video",
}
NAMES = {Place.REFERENCE: "image", Place.CLIP: "video", Place.SOURCE: "video"}
"""A prompt speaks of references by name: ``@image_1``, ``@video_1``."""


def second(model: str, vendor: Mapping[str, object], traits: VideoTraits, terms: Terms) -> Asked:
    elements = _elements(vendor, traits, terms)
    kind = OMNI if traits.omni else IMAGE if terms.inputs else TEXT
    path = f"{kind}/{quote(traits.upstream_name or model, safe='')}"
    told = {"prompt": terms.prompt} if kind == TEXT else {"contents": [*_contents(terms), *elements]}
    body = {**told, "settings": _settings(terms), "options": {"watermark_info": {"enabled": terms.watermark}}}
    return Asked(Api.SECOND, path, body, terms.usage, terms.video_ms, terms.watermark)


def _settings(terms: Terms) -> dict[str, object]:
    audio = "native" if terms.audio else "original" if terms.keeps_sound else "off"
    return {
        "resolution": terms.resolution,
        **({} if terms.ratio is None else {"aspect_ratio": terms.ratio}),
        **({} if terms.seconds is None else {"duration": terms.seconds}),
        "audio": audio,
        **terms.shots.fields,
    }


def _contents(terms: Terms) -> list[dict[str, object]]:
    prompt: list[dict[str, object]] = [{"type": "prompt", "text": terms.prompt}] if terms.prompt.strip() else []
    counts: dict[str, int] = {}
    return [*prompt, *(_content(one, counts) for one in terms.inputs)]


def _content(one: Placed, counts: dict[str, int]) -> dict[str, object]:
    url = clip(one.given) if one.place.is_clip else picture(one.given)
    item: dict[str, object] = {"type": TYPES[one.place], "url": url}
    name = NAMES.get(one.place)
    if name is not None:
        counts[name] = counts.get(name, 0) + 1
        item["id"] = f"{name}_{counts[name]}"
    return item


def _elements(vendor: Mapping[str, object], traits: VideoTraits, terms: Terms) -> list[dict[str, object]]:
    for name in vendor.keys() - TERMS - {"element_list"}:
        raise refusal(name, "this generation of the upstream's API does not know it, or relayhub does not pass it on.")
    if "element_list" not in vendor:
        return []
    needs("element_list", traits.elements)
    room = BESIDE_ELEMENTS - sum(not one.place.is_clip for one in terms.inputs)
    elements = named("element_list", vendor["element_list"], "element_id", room)
    return [{"type": "element", **item, "id": f"element_{index}"} for index, item in enumerate(elements, 1)]

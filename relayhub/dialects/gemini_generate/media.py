"""Media parts: bytes inside the request, or where they are."""

from __future__ import annotations

import re

from relayhub.dialects.fields import Fields, nested
from relayhub.dialects.gemini_generate.names import NAME
from relayhub.dialects.media import standard_base64
from relayhub.types.chat import AudioPart, FilePart, ImagePart, Media, OpaquePart, Part
from relayhub.types.json import Extras, Json, JsonObject

AUDIO = frozenset({"audio/wav", "audio/mp3", "audio/mpeg", "audio/mpga", "audio/x-wav", "audio/wave", "audio/vnd.wave"})
"""Types of audio that other dialects have, too."""

_UPSTREAMS_OWN = re.compile(
    r"https?://(?:[\w-]+\.)*(?:generativelanguage\.googleapis\.com|youtube\.com|youtu\.be)(?:[/:?]|$)", re.IGNORECASE
)
"""Links that only the upstream can follow."""

RESOLUTION = "mediaResolution"
_DETAILS = {"MEDIA_RESOLUTION_LOW": "low", "MEDIA_RESOLUTION_HIGH": "high"}
RESOLUTIONS = {detail: word for word, detail in _DETAILS.items()}
"""An image's ``detail`` → the level of its resolution."""


def decode_inline(fields: Fields, value: JsonObject) -> Part:
    inner = fields.inner("inlineData")
    media_type = (inner.optional_text("mimeType") or "").lower() or None
    if media_type is not None and _is_foreign_to_others(media_type):
        return OpaquePart(NAME, media_type, value)
    data, _ = standard_base64(inner.text("data"), inner.at("data"))
    return _media_part(Media(data=data, media_type=media_type), fields, inner)


def decode_file(fields: Fields, value: JsonObject) -> Part:
    """A link that anybody can follow is a URL, any other a file id, which is not portable."""
    inner = fields.inner("fileData")
    media_type = (inner.optional_text("mimeType") or "").lower() or None
    uri = inner.name("fileUri")
    public = uri.lower().startswith(("http://", "https://")) and not _UPSTREAMS_OWN.match(uri)
    if media_type is not None and _is_foreign_to_others(media_type):
        return OpaquePart(NAME, media_type, value)
    media = Media(url=uri, media_type=media_type) if public else Media(file_id=uri, media_type=media_type)
    return _media_part(media, fields, inner)


def _is_foreign_to_others(media_type: str) -> bool:
    return media_type.startswith("video/") or (media_type.startswith("audio/") and media_type not in AUDIO)


def _media_part(media: Media, fields: Fields, inner: Fields) -> Part:
    kind = (media.media_type or "").partition("/")[0]
    if kind == "image":
        detail = _take_detail(fields)
        return ImagePart(media, detail, fields.rest(inner))
    if kind == "audio" and media.data is not None:
        return AudioPart(media, fields.rest(inner))
    return FilePart(media, inner.optional_text("displayName"), fields.rest(inner))


def _take_detail(fields: Fields) -> str | None:
    value = fields.peek(RESOLUTION)
    if not isinstance(value, dict) or list(value) != ["level"]:
        return None
    detail = _DETAILS.get(str(value["level"]))
    if detail is not None:
        fields.take(RESOLUTION)
    return detail


def encode_media(part: ImagePart | AudioPart | FilePart, extras: Extras) -> JsonObject:
    """``extras``: the part's, if it was decoded from this dialect; else nothing."""
    key, inner = _inner(part.media)
    if isinstance(part, FilePart) and part.filename is not None:
        inner["displayName"] = part.filename
    out: JsonObject = {**extras, key: {**inner, **nested(extras, key)}}
    if isinstance(part, ImagePart) and part.detail in RESOLUTIONS:
        out[RESOLUTION] = {"level": RESOLUTIONS[part.detail]}
    return out


def _inner(media: Media) -> tuple[str, JsonObject]:
    said: JsonObject = {} if media.media_type is None else {"mimeType": media.media_type}
    if media.data is not None:
        return "inlineData", {**said, "data": media.data}
    return "fileData", {**said, "fileUri": media.url or media.file_id or ""}


def is_image(inline: Json) -> bool:
    """Whether this ``inlineData`` of an answer is an image."""
    kind = inline.get("mimeType") if isinstance(inline, dict) else None
    return isinstance(kind, str) and kind.lower().startswith("image/")

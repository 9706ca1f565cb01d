"""Images and documents: the ``source`` objects, both ways."""

from __future__ import annotations

import base64
import binascii

from relayhub.dialects.anthropic_messages.names import IMAGE_TYPES
from relayhub.dialects.fields import Fields, invalid_value, nested
from relayhub.dialects.foreign import not_expressible
from relayhub.dialects.media import sniff, standard_base64
from relayhub.types.chat import FilePart, ImagePart, Media
from relayhub.types.json import Extras, Json, JsonObject

PDF, PLAIN = "application/pdf", "text/plain"
_TEXTUAL = frozenset({"application/json", "application/xml", "application/yaml"})


def decode_image(fields: Fields) -> ImagePart | None:
    """``None`` for a source that the hub has no word for."""
    source = fields.inner("source")
    media = _decode_media(source, source.take("type"))
    return None if media is None else ImagePart(media, extras=fields.rest(source))


def decode_document(fields: Fields) -> FilePart | None:
    """``None`` for a source that the hub has no word for."""
    source = fields.inner("source")
    kind = source.take("type")
    media = _decode_text(source) if kind == "text" else _decode_media(source, kind)
    if media is None or (media.media_type == PLAIN and kind == "base64"):
        return None
    return FilePart(media, fields.optional_text("title"), fields.rest(source))


def _decode_media(source: Fields, kind: Json) -> Media | None:
    match kind:
        case "base64":
            data, _ = standard_base64(source.text("data"), source.at("data"))
            return Media(data=data, media_type=source.name("media_type"))
        case "url":
            return Media(url=source.name("url"))
        case "file":
            return Media(file_id=source.name("file_id"))
        case _:
            return None


def _decode_text(source: Fields) -> Media:
    data = base64.b64encode(source.text("data").encode()).decode()
    return Media(data=data, media_type=source.optional_text("media_type") or PLAIN)


def encode_image(part: ImagePart, extras: Extras) -> JsonObject:
    """For a part of this dialect."""
    return {"type": "image", **extras, "source": {**_encode_media(part.media), **nested(extras, "source")}}


def encode_document(part: FilePart, extras: Extras) -> JsonObject:
    """For a part of this dialect."""
    title: JsonObject = {} if part.filename is None else {"title": part.filename}
    media = part.media
    source = _text_source(media) if media.media_type == PLAIN else None
    inner = {**(source or _encode_media(media)), **nested(extras, "source")}
    return {"type": "document", **title, **extras, "source": inner}


def _encode_media(media: Media) -> JsonObject:
    if media.url is not None:
        return {"type": "url", "url": media.url}
    if media.file_id is not None:
        return {"type": "file", "file_id": media.file_id}
    return {"type": "base64", "media_type": media.media_type, "data": media.data}


def _text_source(media: Media) -> JsonObject | None:
    """``None`` if this is no text."""
    try:
        text = binascii.a2b_base64(media.data or "").decode()
    except ValueError:
        return None
    return {"type": "text", "media_type": PLAIN, "data": text}


def translate_image(media: Media, path: str) -> JsonObject:
    """An image of another dialect. Raises ``ClientError`` for what cannot be sent."""
    if media.url is not None:
        return {"type": "image", "source": {"type": "url", "url": media.url}}
    if media.data is None:
        raise not_expressible(path, "an uploaded image")
    if media.media_type not in IMAGE_TYPES:
        raise not_expressible(path, media.media_type or "an image of an unknown type")
    return {"type": "image", "source": _encode_media(media)}


def translate_file(part: FilePart, path: str) -> JsonObject:
    """A file of another dialect. Raises ``ClientError`` for what cannot be sent."""
    media = part.media
    title: JsonObject = {"title": part.filename} if part.filename else {}
    if media.url is not None:
        return {"type": "document", **title, "source": {"type": "url", "url": media.url}}
    if media.data is None:
        raise not_expressible(path, "an uploaded file")
    kind = media.media_type or sniff(_decoded(media.data, path)) or ""
    if kind in IMAGE_TYPES:
        return translate_image(Media(data=media.data, media_type=kind), path)
    if kind == PDF:
        source: JsonObject | None = {"type": "base64", "media_type": PDF, "data": media.data}
    else:
        source = _text_source(media) if kind.startswith("text/") or kind in _TEXTUAL else None
    if source is None:
        raise not_expressible(path, kind or "a file of an unknown type")
    return {"type": "document", **title, "source": source}


def _decoded(data: str, path: str) -> bytes:
    try:
        return binascii.a2b_base64(data)
    except binascii.Error:
        raise invalid_value(path, "is not valid base64 data") from None

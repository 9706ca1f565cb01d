"""Content parts of messages and of tool results, both ways."""

from __future__ import annotations

from relayhub.dialects.fields import Fields, invalid_value, nested
from relayhub.dialects.foreign import not_expressible
from relayhub.dialects.media import data_url, read_media, standard_base64
from relayhub.dialects.openai_responses.kept import NAME, keeping, kept, said_only
from relayhub.types.chat import AudioPart, FilePart, ImagePart, Media, OpaquePart, Part, RefusalPart, TextPart
from relayhub.types.json import Extras, Json, JsonObject

INPUT_TEXT, OUTPUT_TEXT = "input_text", "output_text"

_AUDIO_FORMATS = {"mpeg": "mp3", "mpga": "mp3", "x-wav": "wav", "wave": "wav", "vnd.wave": "wav"}


def decode_part(value: Json, path: str, *, text_type: str = INPUT_TEXT) -> Part:
    """``text_type``: what a text is called in this place; another name for it is kept. A part of a type that the hub
    does not know becomes an :class:`OpaquePart` of this dialect."""
    fields = Fields(value, path)
    kind = fields.name("type")
    match kind:
        case "input_text" | "output_text" | "text":
            other = kind if kind != text_type else None
            return TextPart(fields.text("text"), keeping(fields.rest(), type=other))
        case "input_image":
            return _decode_image(fields)
        case "input_file":
            return _decode_file(fields)
        case "input_audio":
            return _decode_audio(fields)
        case "refusal":
            return RefusalPart(fields.text("refusal"), fields.rest())
        case _:
            assert isinstance(value, dict)
            return OpaquePart(NAME, kind, value)


def _decode_image(fields: Fields) -> ImagePart:
    url, file_id = fields.optional_text("image_url"), fields.optional_text("file_id")
    if (url is None) == (file_id is None):
        raise invalid_value(fields.path, "must have either image_url or file_id")
    media = Media(file_id=file_id) if url is None else read_media(url, fields.at("image_url"))
    return ImagePart(media, fields.optional_text("detail"), fields.rest())


def _decode_file(fields: Fields) -> FilePart:
    data, url, file_id = (fields.optional_text(key) for key in ("file_data", "file_url", "file_id"))
    if [data, url, file_id].count(None) != 2:
        raise invalid_value(fields.path, "must have one of file_data, file_url and file_id")
    media = read_media(data, fields.at("file_data")) if data is not None else Media(url=url, file_id=file_id)
    return FilePart(media, fields.optional_text("filename"), fields.rest())


def _decode_audio(fields: Fields) -> AudioPart:
    inner = fields.inner("input_audio")
    data, _ = standard_base64(inner.text("data"), inner.at("data"))
    return AudioPart(Media(data=data, media_type=f"audio/{inner.name('format')}"), extras=fields.rest(inner))


def encode_part(part: Part, path: str, *, own: bool, text_type: str = INPUT_TEXT) -> JsonObject:
    """``own``: the part was decoded from this dialect, so its extras are written again. Raises ``ClientError`` for what
    this dialect cannot say."""
    extras = _own(part, own)
    match part:
        case TextPart(text):
            kind = kept(part.extras).get("type") if own else None
            return {"type": kind or text_type, "text": text, **_annotated(text_type, own), **extras}
        case RefusalPart(text):
            return {"type": "refusal", "refusal": text, **extras}
        case ImagePart():
            return _encode_image(part, path, extras, own=own)
        case AudioPart():
            return _encode_audio(part, path, extras)
        case FilePart():
            return _encode_file(part, path, extras, own=own)
        case OpaquePart(dialect, _, value) if dialect == NAME:
            return value
        case OpaquePart(_, kind, _):
            raise not_expressible(path, kind)
        case _:
            raise not_expressible(path, type(part).__name__)


def _own(part: Part, own: bool) -> Extras:
    return {} if isinstance(part, OpaquePart) or not own else said_only(part.extras)


def _annotated(text_type: str, own: bool) -> JsonObject:
    return {"annotations": []} if text_type == OUTPUT_TEXT and not own else {}


def _encode_image(part: ImagePart, path: str, extras: Extras, *, own: bool) -> JsonObject:
    out: JsonObject = {"type": "input_image", **extras}
    if part.media.file_id is not None:
        _check_portable(path, "an uploaded image", own=own)
        out["file_id"] = part.media.file_id
    else:
        out["image_url"] = _link(part.media, path)
    if part.detail is not None or not own:
        out["detail"] = part.detail or "auto"
    return out


def _check_portable(path: str, what: str, *, own: bool) -> None:
    if not own:
        raise not_expressible(path, what)


def _link(media: Media, path: str) -> str:
    if media.url is not None:
        return media.url
    if media.data is not None:
        return data_url(media.data, media.media_type)
    raise not_expressible(path, "media without content")


def _encode_file(part: FilePart, path: str, extras: Extras, *, own: bool) -> JsonObject:
    out: JsonObject = {"type": "input_file", **extras}
    media = part.media
    if media.file_id is not None:
        _check_portable(path, "an uploaded file", own=own)
        out["file_id"] = media.file_id
    elif media.url is not None:
        out["file_url"] = media.url
    else:
        out["file_data"] = _link(media, path)
    if part.filename is not None:
        out["filename"] = part.filename
    elif media.data is not None and not own:
        # The API refuses file data without a name, which also tells it the type.
        out["filename"] = "file." + (media.media_type or "application/pdf").rpartition("/")[2]
    return out


def _encode_audio(part: AudioPart, path: str, extras: Extras) -> JsonObject:
    if part.media.data is None:
        raise not_expressible(path, "audio by reference")
    subtype = (part.media.media_type or "audio/wav").partition("/")[2]
    inner: JsonObject = {"data": part.media.data, "format": _AUDIO_FORMATS.get(subtype, subtype)}
    return {"type": "input_audio", **extras, "input_audio": {**inner, **nested(extras, "input_audio")}}

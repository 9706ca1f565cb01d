"""Content parts of messages, both ways."""

from __future__ import annotations

from relayhub.dialects.fields import Fields, invalid_value, nested
from relayhub.dialects.media import data_url, read_media, standard_base64
from relayhub.types.call import Dialect
from relayhub.types.chat import AudioPart, FilePart, ImagePart, Media, OpaquePart, Part, RefusalPart, TextPart
from relayhub.types.errors import ClientError, invalid_request
from relayhub.types.json import Extras, Json, JsonObject

NAME = Dialect.OPENAI_CHAT.value

_AUDIO_FORMATS = {"mpeg": "mp3", "mpga": "mp3", "x-wav": "wav", "wave": "wav", "vnd.wave": "wav"}
"""Media subtypes of other dialects → ``input_audio.format``."""


def decode_part(value: Json, path: str) -> Part:
    """A part of a type that the hub does not know becomes an :class:`OpaquePart` of this dialect."""
    fields = Fields(value, path)
    kind = fields.name("type")
    match kind:
        case "text":
            return TextPart(fields.text("text"), fields.rest())
        case "image_url":
            return _decode_image(fields)
        case "input_audio":
            return _decode_audio(fields)
        case "file":
            return _decode_file(fields)
        case "refusal":
            return RefusalPart(fields.text("refusal"), fields.rest())
        case _:
            assert isinstance(value, dict)
            return OpaquePart(NAME, kind, value)


def _decode_image(fields: Fields) -> ImagePart:
    inner = fields.inner("image_url")
    media = read_media(inner.text("url"), inner.at("url"))
    return ImagePart(media, inner.optional_text("detail"), fields.rest(inner))


def _decode_audio(fields: Fields) -> AudioPart:
    inner = fields.inner("input_audio")
    data, _ = standard_base64(inner.text("data"), inner.at("data"))
    media = Media(data=data, media_type=f"audio/{inner.name('format')}")
    return AudioPart(media, fields.rest(inner))


def _decode_file(fields: Fields) -> FilePart:
    inner = fields.inner("file")
    file_id, data = inner.optional_text("file_id"), inner.optional_text("file_data")
    if (file_id is None) == (data is None):
        raise invalid_value(inner.path, "must have either file_data or file_id")
    media = read_media(data, inner.at("file_data")) if data is not None else Media(file_id=file_id)
    return FilePart(media, inner.optional_text("filename"), fields.rest(inner))


def encode_part(part: Part, path: str, *, own: bool) -> JsonObject:
    """``own``: the part was decoded from this dialect, so its extras are written again. Raises ``ClientError`` for what
    this dialect cannot say."""
    match part:
        case TextPart(text, extras):
            return {"type": "text", "text": text, **_own(extras, own)}
        case RefusalPart(text, extras):
            return {"type": "refusal", "refusal": text, **_own(extras, own)}
        case ImagePart():
            return _encode_image(part, path, _own(part.extras, own))
        case AudioPart():
            return _encode_audio(part, path, _own(part.extras, own))
        case FilePart():
            return _encode_file(part, path, _own(part.extras, own), own=own)
        case OpaquePart(dialect, _, value) if dialect == NAME:
            return value
        case OpaquePart(_, kind, _):
            raise unsupported(path, kind)
        case _:
            raise unsupported(path, type(part).__name__)


def _own(extras: Extras, own: bool) -> Extras:
    return extras if own else {}


def unsupported(path: str, kind: str) -> ClientError:
    return invalid_request(
        f"{path} is of a kind ({kind}) that this model's upstream cannot take.", code="unsupported_content", param=path
    )


def _encode_image(part: ImagePart, path: str, extras: Extras) -> JsonObject:
    inner: JsonObject = {"url": _link(part.media, path, "an uploaded image")}
    if part.detail is not None:
        inner["detail"] = part.detail
    return {"type": "image_url", **extras, "image_url": {**inner, **nested(extras, "image_url")}}


def _link(media: Media, path: str, what: str) -> str:
    if media.url is not None:
        return media.url
    if media.data is not None:
        return data_url(media.data, media.media_type)
    raise unsupported(path, what)


def _encode_audio(part: AudioPart, path: str, extras: Extras) -> JsonObject:
    if part.media.data is None:
        raise unsupported(path, "audio by reference")
    subtype = (part.media.media_type or "audio/wav").partition("/")[2]
    inner: JsonObject = {"data": part.media.data, "format": _AUDIO_FORMATS.get(subtype, subtype)}
    return {"type": "input_audio", **extras, "input_audio": {**inner, **nested(extras, "input_audio")}}


def _encode_file(part: FilePart, path: str, extras: Extras, *, own: bool) -> JsonObject:
    media = part.media
    if not own and media.data is None:
        raise unsupported(path, "a file by reference")
    inner: JsonObject = {} if media.file_id is None else {"file_id": media.file_id}
    if media.file_id is None:
        inner["file_data"] = _link(media, path, "a file")
    if part.filename is not None:
        inner["filename"] = part.filename
    elif media.data is not None and not own:
        # The API refuses file data without a name, which also tells it the type.
        inner["filename"] = "file." + (media.media_type or "application/pdf").rpartition("/")[2]
    return {"type": "file", **extras, "file": {**inner, **nested(extras, "file")}}

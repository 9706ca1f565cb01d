"""Media of another dialect's request as this one takes them: inside the request."""

from __future__ import annotations

import binascii

from relayhub.dialects.foreign import Dropped, not_expressible
from relayhub.dialects.gemini_generate.media import RESOLUTION, RESOLUTIONS
from relayhub.dialects.gemini_generate.target import GeminiTarget
from relayhub.dialects.media import sniff
from relayhub.types.chat import AudioPart, FilePart, ImagePart, Media
from relayhub.types.json import JsonObject

_AUDIO = {
    "audio/mpeg": "audio/mp3",
    "audio/mpga": "audio/mp3",
    "audio/x-wav": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/vnd.wave": "audio/wav",
}
_SNIFFED = 48
"""Base64 characters that show what the bytes are."""


def media_part(part: ImagePart | AudioPart | FilePart, path: str, target: GeminiTarget, dropped: Dropped) -> JsonObject:
    """Raises ``ClientError`` for a link that nobody has fetched, and for an uploaded file, whose id means nothing
    here."""
    media = part.media
    if media.data is None:
        raise not_expressible(path, "a link" if media.url is not None else "an uploaded file")
    out: JsonObject = {"inlineData": {"mimeType": _type_of(media, part, path), "data": media.data}}
    match part:
        case ImagePart(detail=detail) if detail in RESOLUTIONS:
            if target.part_resolution:
                out[RESOLUTION] = {"level": RESOLUTIONS[detail]}
            else:
                dropped.note("detail")
        case FilePart(filename=filename):
            dropped.note_if("filename", filename)
        case _:
            pass
    return out


def _type_of(media: Media, part: ImagePart | AudioPart | FilePart, path: str) -> str:
    said = media.media_type or sniff(binascii.a2b_base64((media.data or "")[:_SNIFFED]))
    if said is not None:
        return _AUDIO.get(said, said)
    if isinstance(part, ImagePart):
        return "image/png"
    raise not_expressible(path, "a file of an unknown type")

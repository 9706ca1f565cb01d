"""Bytes inside JSON: data URLs, bare base64 and links, normalised to :class:`Media`."""

from __future__ import annotations

import binascii
import re

from relayhub.dialects.fields import invalid_value
from relayhub.types.chat import Media

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_SPACE = re.compile(r"\s+")
_URL_SAFE = str.maketrans("-_", "+/")

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"ID3", "audio/mp3"),
    (b"\xff\xfb", "audio/mp3"),
    (b"\xff\xf3", "audio/mp3"),
)


def read_media(text: str, path: str) -> Media:
    """A link, a data URL, or bare base64 (whose type is sniffed). Base64 may be URL-safe, unpadded or wrapped; it
    comes out as standard base64. Raises ``ClientError`` naming ``path``."""
    if text[:5].lower() == "data:":
        return _data_url(text, path)
    if _SCHEME.match(text):
        return Media(url=text)
    return _inline(text, None, path)


def _data_url(text: str, path: str) -> Media:
    header, comma, payload = text[5:].partition(",")
    media_type, *parameters = (word.strip() for word in header.split(";"))
    if not comma or "base64" not in [word.lower() for word in parameters]:
        raise invalid_value(path, "must be a data URL of the form data:<type>;base64,<data>")
    return _inline(payload, media_type.lower() or None, path)


def _inline(payload: str, media_type: str | None, path: str) -> Media:
    data, head = standard_base64(payload, path)
    return Media(data=data, media_type=media_type or sniff(head))


def standard_base64(payload: str, path: str) -> tuple[str, bytes]:
    """The payload in standard, padded base64, and the bytes that it stands for."""
    try:
        return payload, _decoded(payload)
    except ValueError:
        pass
    mended = _SPACE.sub("", payload).translate(_URL_SAFE).rstrip("=")
    mended += "=" * (-len(mended) % 4)
    try:
        return mended, _decoded(mended)
    except ValueError:
        raise invalid_value(path, "is neither a URL nor valid base64 data") from None


def _decoded(payload: str) -> bytes:
    content = binascii.a2b_base64(payload, strict_mode=True)
    if not content:
        raise ValueError
    return content


def sniff(content: bytes) -> str | None:
    """The media type that the first bytes show, or ``None``."""
    if content[:4] == b"RIFF":
        return {b"WEBP": "image/webp", b"WAVE": "audio/wav"}.get(content[8:12])
    return next((media_type for magic, media_type in _MAGIC if content.startswith(magic)), None)


def data_url(data: str, media_type: str | None) -> str:
    """The inverse of :func:`read_media` for inline data; an unknown type stays unsaid."""
    return f"data:{media_type};base64,{data}" if media_type else data

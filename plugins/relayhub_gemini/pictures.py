"""Pictures on their way in and out: their bytes, and what these bytes are."""

from __future__ import annotations

import base64
import binascii

from relayhub.sdk import Artifact, MediaInput
from relayhub_gemini.refusal import refuse

TAKEN = frozenset({"image/png", "image/jpeg", "image/webp", "image/heic", "image/heif"})
STARTS = (
    (b"\x89PNG", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
)


def type_of(content: bytes) -> str | None:
    """By how it begins."""
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return "image/webp"
    return next((name for start, name in STARTS if content.startswith(start)), None)


def picture(given: MediaInput) -> dict[str, object]:
    """As a part of a message. Raises ``ClientError`` naming the input that is no picture, or has no bytes."""
    media = given.media
    if media.url is not None:
        refuse(given.field, "this upstream takes no links; give the picture itself, as a file or as base64.")
    if media.data is None:
        refuse(given.field, "files of another account cannot be used here; give the picture itself.")
    content = decoded(media.data)
    if content is None:
        refuse(given.field, "it is not base64.")
    found = type_of(content) or media.media_type
    if found not in TAKEN:
        refuse(given.field, "it is no PNG, JPEG, WebP or HEIC picture.")
    return {"inlineData": {"mimeType": found, "data": media.data}}


def made_picture(data: str, said: object) -> Artifact | None:
    """``None`` for what is no base64. ``said``: the type that the upstream tells."""
    content = decoded(data)
    if not content:
        return None
    return Artifact(data=content, media_type=type_of(content) or (said if isinstance(said, str) else None))


def decoded(data: str) -> bytes | None:
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return None

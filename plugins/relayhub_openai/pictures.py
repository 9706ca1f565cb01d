"""Pictures on their way in and out: their bytes, and what these bytes are."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from relayhub.sdk import Artifact, MediaInput, upstream_broke
from relayhub_openai.refusal import refuse

SUFFIXES = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp", "image/gif": "gif"}


@dataclass(frozen=True, slots=True)
class Picture:
    content: bytes
    media_type: str

    @property
    def suffix(self) -> str:
        return SUFFIXES[self.media_type]

    @property
    def data_url(self) -> str:
        return f"data:{self.media_type};base64,{base64.b64encode(self.content).decode()}"


def type_of(content: bytes) -> str | None:
    """By how it begins."""
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return "image/webp"
    starts = ((b"\x89PNG", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF8", "image/gif"))
    return next((name for start, name in starts if content.startswith(start)), None)


def picture(given: MediaInput) -> Picture:
    """Raises ``ClientError`` naming the input that has no bytes, or bytes of something else."""
    media = given.media
    if media.url is not None:
        refuse(given.field, "this upstream takes no links here; give the picture itself, as a file or as base64.")
    if media.data is None:
        refuse(given.field, "files of another account cannot be used here; give the picture itself.")
    try:
        content = base64.b64decode(media.data, validate=True)
    except (binascii.Error, ValueError):
        refuse(given.field, "it is not base64.")
    found = type_of(content) or media.media_type
    if found not in SUFFIXES:
        refuse(given.field, "it is no PNG, JPEG, WebP or GIF picture.")
    return Picture(content, found)


def made_picture(data: str, note: str | None) -> Artifact:
    """From base64 in an answer, as a data URL too. Raises ``UpstreamError``."""
    head, comma, rest = data.partition(",")
    plain = rest if comma and head.startswith("data:") else data
    try:
        content = base64.b64decode(plain, validate=True)
    except (binascii.Error, ValueError) as error:
        raise upstream_broke("an image is not base64") from error
    if not content:
        raise upstream_broke("an image is empty")
    return Artifact(data=content, media_type=type_of(content), note=note)

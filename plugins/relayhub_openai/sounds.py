"""What audio is by its bytes, whatever was asked for."""

from __future__ import annotations

from collections.abc import Mapping

MEDIA_TYPES: Mapping[str, str] = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}
STARTS = (
    (b"RIFF", "audio/wav"),
    (b"fLaC", "audio/flac"),
    (b"OggS", "audio/ogg"),
    (b"ID3", "audio/mpeg"),
    (b"\xff\xf1", "audio/aac"),
    (b"\xff\xf9", "audio/aac"),
    (b"\xff\xfb", "audio/mpeg"),
    (b"\xff\xf3", "audio/mpeg"),
    (b"\xff\xf2", "audio/mpeg"),
)
CERTAIN = 4
"""Marks of so many bytes are believed even where bare samples were asked for, which may begin like anything."""


def delivered_type(audio: bytes, asked: str, content_type: str) -> str:
    """By the bytes; else as the upstream says; else as was asked for."""
    bare = asked == "pcm"
    for start, name in STARTS:
        if audio.startswith(start) and (not bare or len(start) >= CERTAIN):
            return name
    said = content_type.partition(";")[0].strip().lower()
    known = said in MEDIA_TYPES.values() and (not bare or said == MEDIA_TYPES["pcm"])
    return said if known else MEDIA_TYPES[asked]

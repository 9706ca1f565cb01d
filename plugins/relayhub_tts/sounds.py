"""What audio is by its bytes, whatever was asked for; and bare samples made a file."""

from __future__ import annotations

import struct
from collections.abc import Mapping

MEDIA_TYPES: Mapping[str, str] = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}
UNKNOWN = "application/octet-stream"
MARKS = (
    (b"fLaC", "audio/flac"),
    (b"OggS", "audio/ogg"),
    (b"ID3", "audio/mpeg"),
    (b"\xff\xfb", "audio/mpeg"),
    (b"\xff\xf3", "audio/mpeg"),
    (b"\xff\xf2", "audio/mpeg"),
)
RATE = 24_000
"""Samples per second of ``pcm`` in this hub: 16 bit, one channel."""
SAMPLE_BYTES = 2
LINEAR, ONE_CHANNEL = 1, 1


def is_wav(audio: bytes) -> bool:
    return audio[:4] == b"RIFF" and audio[8:12] == b"WAVE"


def delivered_type(audio: bytes, asked: str) -> str:
    """By the bytes. Bare samples have no mark and may begin like anything but a WAV file."""
    if is_wav(audio):
        return MEDIA_TYPES["wav"]
    if asked == "pcm":
        return MEDIA_TYPES["pcm"]
    return next((name for mark, name in MARKS if audio.startswith(mark)), UNKNOWN)


def wav_of(pcm: bytes) -> bytes:
    """A file of these samples, whose header says how many there are."""
    form = struct.pack(
        "<HHIIHH", LINEAR, ONE_CHANNEL, RATE, RATE * SAMPLE_BYTES, SAMPLE_BYTES * ONE_CHANNEL, SAMPLE_BYTES * 8
    )
    chunks = b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(pcm)) + pcm
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WAVE" + chunks

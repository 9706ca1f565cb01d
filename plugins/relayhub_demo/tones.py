"""Speech of the demo: a tone for each letter, a pause for each blank. 24 kHz, 16 bit, mono."""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Iterator
from functools import partial

RATE = 24_000
LETTER_MS = 60
PITCHES = 12
LOUDNESS = 8_000
STEP = 16
"""Letters of one piece of a stream."""


def length_ms(text: str, speed: float) -> int:
    """Of the whole clip, rounded up."""
    return -(-len(text) * _samples(speed) * 1000 // RATE)


def wav_header(text: str, speed: float) -> bytes:
    size = len(text) * _samples(speed) * 2
    sound = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, RATE, RATE * 2, 2, 16)
    return struct.pack("<4sI4s", b"RIFF", 36 + size, b"WAVE") + sound + struct.pack("<4sI", b"data", size)


def pieces(text: str, voice: str, speed: float) -> Iterator[bytes]:
    """PCM, some letters at a time."""
    samples = _samples(speed)
    base_hz = 150 + hashlib.sha256(voice.encode("utf-8", "replace")).digest()[0]
    tones = [_tone(base_hz * 2 ** (pitch / PITCHES), samples) for pitch in range(PITCHES)]
    heard = partial(_heard, tones=tones, pause=bytes(samples * 2))
    for start in range(0, len(text), STEP):
        yield b"".join(map(heard, text[start : start + STEP]))


def _heard(letter: str, tones: list[bytes], pause: bytes) -> bytes:
    return pause if letter.isspace() else tones[ord(letter) % PITCHES]


def _samples(speed: float) -> int:
    """Of one letter."""
    return round(RATE * LETTER_MS / 1000 / speed)


def _tone(frequency_hz: float, samples: int) -> bytes:
    """Swelling and fading, so that tones do not click."""
    wave = (
        round(LOUDNESS * math.sin(math.pi * at / samples) * math.sin(2 * math.pi * frequency_hz * at / RATE))
        for at in range(samples)
    )
    return struct.pack(f"<{samples}h", *wave)

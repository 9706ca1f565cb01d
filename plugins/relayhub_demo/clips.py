"""Short MP4 files: H.264 of one colour, all of it written here, playable everywhere."""

from __future__ import annotations

import struct

from relayhub_demo.h264 import Colour, picture, picture_parameters, repetition, sequence_parameters

FRAMES_PER_S = 10
SCALE = 1000
"""Ticks per second."""
MATRIX = struct.pack(">9i", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)


def clip(width: int, height: int, seconds: int, colour: Colour) -> bytes:
    """``seconds`` long, a few kilobytes, the same for the same arguments. Sides must be even."""
    samples = [picture(width, height, colour)]
    samples += [repetition(width, height, number) for number in range(1, seconds * FRAMES_PER_S)]
    samples = [struct.pack(">I", len(sample)) + sample for sample in samples]
    kind = _box(b"ftyp", b"isom", struct.pack(">I", 512), b"isomiso2avc1mp41")
    # Its own length does not depend on the offset that stands in it.
    start = len(kind) + len(_movie(width, height, samples, 0)) + 8
    return kind + _movie(width, height, samples, start) + _box(b"mdat", *samples)


def _box(name: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I", len(body) + 8) + name + body


def _full(name: bytes, *parts: bytes, flags: int = 0) -> bytes:
    return _box(name, struct.pack(">I", flags), *parts)


def _movie(width: int, height: int, samples: list[bytes], start: int) -> bytes:
    ticks = len(samples) * SCALE // FRAMES_PER_S
    head = struct.pack(">IIIIIHHII", 0, 0, SCALE, ticks, 0x10000, 0x100, 0, 0, 0)
    movie = _full(b"mvhd", head, MATRIX, bytes(24), struct.pack(">I", 2))
    track_head = struct.pack(">IIIIIIIHHHH", 0, 0, 1, 0, ticks, 0, 0, 0, 0, 0, 0)
    shown = struct.pack(">II", width << 16, height << 16)
    track = _full(b"tkhd", track_head, MATRIX, shown, flags=3)
    media_head = _full(b"mdhd", struct.pack(">IIIIHH", 0, 0, SCALE, ticks, 0x55C4, 0))
    handler = _full(b"hdlr", bytes(4), b"vide", bytes(12), b"relayhub demo\0")
    media = _box(b"mdia", media_head, handler, _information(width, height, samples, start))
    return _box(b"moov", movie, _box(b"trak", track, media))


def _information(width: int, height: int, samples: list[bytes], start: int) -> bytes:
    reference = _full(b"dref", struct.pack(">I", 1), _full(b"url ", flags=1))
    count = len(samples)
    sizes = struct.pack(f">{count}I", *(len(sample) for sample in samples))
    table = _box(
        b"stbl",
        _full(b"stsd", struct.pack(">I", 1), _format(width, height)),
        _full(b"stts", struct.pack(">III", 1, count, SCALE // FRAMES_PER_S)),
        _full(b"stss", struct.pack(">II", 1, 1)),
        _full(b"stsc", struct.pack(">IIII", 1, 1, count, 1)),
        _full(b"stsz", struct.pack(">II", 0, count), sizes),
        _full(b"stco", struct.pack(">II", 1, start)),
    )
    return _box(b"minf", _full(b"vmhd", bytes(8), flags=1), _box(b"dinf", reference), table)


def _format(width: int, height: int) -> bytes:
    sequence, pictures = sequence_parameters(width, height), picture_parameters()
    configuration = _box(
        b"avcC",
        b"\x01" + sequence[1:4] + b"\xff\xe1",
        struct.pack(">H", len(sequence)) + sequence,
        b"\x01" + struct.pack(">H", len(pictures)) + pictures,
    )
    visual = struct.pack(">6xH16xHHIIIH32sHh", 1, width, height, 0x480000, 0x480000, 0, 1, b"", 24, -1)
    return _box(b"avc1", visual, configuration)

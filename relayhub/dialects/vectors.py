"""Embedding vectors on the wire: arrays of numbers, or base64 of packed little-endian float32."""

from __future__ import annotations

import binascii
import struct
from collections.abc import Sequence

import orjson

from relayhub.types.errors import upstream_broke
from relayhub.types.json import Json

FLOAT_BYTES = 4


def pack(vector: Sequence[float]) -> str:
    """Raises ``UpstreamError`` where a value does not fit float32: vectors come from upstreams."""
    try:
        packed = struct.pack(f"<{len(vector)}f", *vector)
    except (struct.error, OverflowError):
        raise upstream_broke("an embedding is not a list of float32 numbers") from None
    return binascii.b2a_base64(packed, newline=False).decode()


def unpack(text: str) -> tuple[float, ...]:
    """The inverse of :func:`pack`."""
    try:
        packed = binascii.a2b_base64(text, strict_mode=True)
        return struct.unpack(f"<{len(packed) // FLOAT_BYTES}f", packed)
    except (ValueError, struct.error):
        raise upstream_broke("an embedding is not base64 of float32 numbers") from None


def read_vector(text: bytes) -> tuple[float, ...]:
    """A vector's JSON text, in either form."""
    value: Json = orjson.loads(text)
    match value:
        case str():
            return unpack(value)
        case list():
            return tuple(_number(item) for item in value)
        case _:
            raise upstream_broke("an embedding is neither an array nor base64")


def _number(value: Json) -> float:
    if type(value) is float or type(value) is int:
        return value
    raise upstream_broke("an embedding is not a list of numbers")

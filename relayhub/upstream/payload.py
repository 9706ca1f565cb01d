"""Request bodies on their way out: from memory, or piece by piece from disk."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from relayhub.types.http import Body, SpoolSlice

PIECE = 256 << 10
"""Bytes that are in memory at a time of what is on disk."""

_LARGE = 1 << 20
"""A body in memory above this is handed over as a file: aiohttp would otherwise warn, and copy it as a whole."""

Data: TypeAlias = "bytes | io.BytesIO | AsyncIterator[bytes] | None"


@dataclass(frozen=True, slots=True)
class Payload:
    """``headers``: what the body asks for beside the request's own."""

    data: Data
    headers: Mapping[str, str] = field(default_factory=dict)


def payload(body: Body) -> Payload:
    """Once per attempt: a body can be sent again."""
    if isinstance(body, bytes):
        return Payload(io.BytesIO(body) if len(body) > _LARGE else body or None)
    return Payload(pieces_of(body), {"content-length": str(sum(map(len, body)))})


async def pieces_of(body: tuple[bytes | SpoolSlice, ...]) -> AsyncGenerator[bytes, None]:
    """What is in memory as it is, what is on disk in pieces of :data:`PIECE`; reading it happens off the loop."""
    for piece in body:
        if isinstance(piece, bytes):
            yield piece
            continue
        for start in range(piece.start, piece.end, PIECE):
            yield await asyncio.to_thread(piece.spool.read_at, start, min(PIECE, piece.end - start))

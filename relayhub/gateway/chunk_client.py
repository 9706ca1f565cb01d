"""Clients that are sent HTTP/1.1 chunks."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import Protocol


class ChunkLine(Protocol):
    """A client's connection. ``transport``: ``None`` once it is gone; ``congested``: the client does not read as fast as it
    is sent."""

    transport: asyncio.Transport | None
    congested: bool


class ChunkClient(ABC):
    """A :class:`relayhub.gateway.call.Client` that takes frames with the framing of an upstream, where that is its own: as
    chunks that may be written to ``line`` while ``streaming``, with a note of the loop's time in ``last_write``."""

    line: ChunkLine
    streaming: bool
    last_write: float

    @abstractmethod
    def push(self, frames: bytes) -> bool:
        """See :class:`relayhub.gateway.call.Client`."""

"""Clients that are sent HTTP/1.1 chunks."""

from __future__ import annotations

from abc import ABC, abstractmethod


class ChunkClient(ABC):
    """A :class:`relayhub.gateway.call.Client` that takes frames with the framing of an upstream, where that is its own."""

    __slots__ = ()

    @abstractmethod
    def push(self, frames: bytes) -> bool:
        """See :class:`relayhub.gateway.call.Client`."""

    @abstractmethod
    def push_chunk(self, chunk: bytes, at: float) -> bool:
        """As :meth:`push`, with whole frames as one chunk: size, line end, frames, line end. ``at``: the loop's time."""

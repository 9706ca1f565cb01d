"""Streams that can tell of a frame what it is without reading it."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol


class Comparison(Protocol):
    """A frame that passes is known to count for nothing but its text; the stream need not be fed with it. ``as_it_is``: what
    passes is shown byte for byte."""

    as_it_is: bool

    def chars(self, frame: bytes) -> int:
        """Characters of model output in ``frame``, if that is one whole frame which passes; else -1, and the stream must read
        it. What has passed must be shown to the client, and counted."""
        ...

    def chunk_chars(self, chunk: bytes, line: bytes) -> int:
        """The same of an HTTP/1.1 chunk with one frame in it, whose data is as long as its ``line``, with its end, says; -1
        as well if it begins with anything else, or does not end as a chunk does."""
        ...

    def shown(self, frame: bytes) -> bytes:
        """What the client sees of the frame that has passed last. To be asked once, and shown."""
        ...


class Comparing:
    """A stream (see :class:`relayhub.dialects.codec.NativeStream`) with a comparison, by which it feeds itself, too. A plain
    class: whether it is one is asked of every stream, which of an ``ABC`` takes ten times as long."""

    __slots__ = ("delivered_chars",)
    delivered_chars: int

    @property
    @abstractmethod
    def comparison(self) -> Comparison: ...

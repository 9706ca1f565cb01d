"""Streams that can tell of a frame what it is without reading it."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol


class Comparison(Protocol):
    """A frame that passes is known to count for nothing but its text; the stream need not be fed with it. ``as_it_is``: what
    passes is shown byte for byte."""

    as_it_is: bool

    def chars(self, data: bytes, start: int, end: int) -> int:
        """Characters of model output in ``data[start:end]``, if that is one whole frame which passes; else -1, and the
        stream must read it. What has passed must be shown to the client, and counted."""
        ...

    def shown(self, data: bytes, start: int, end: int) -> bytes:
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

"""Runs: frames of a streamed answer that each say another piece of the same thing, and nothing else. Such a piece need not go
the whole way through a decoder's and an encoder's rules: both say beforehand what would become of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeAlias

import orjson

from relayhub.types.chat import ReasoningDelta, TextDelta, ToolCallDelta

Piece: TypeAlias = TextDelta | ReasoningDelta | ToolCallDelta
"""What a run is made of; its text is not empty."""

WriteMore: TypeAlias = Callable[[str], bytes]

HERE = "\0"
"""Stands for the text of a piece while its surroundings are written."""

_HERE = orjson.dumps(HERE)


class RunReader(ABC):
    """A :class:`relayhub.dialects.codec.StreamDecoder` that keeps no account of pieces. A frame that gave a piece and nothing
    else, followed by one that differs from it in the text alone (and has some): that one gives the same piece with its text,
    and the decoder is as it was."""

    __slots__ = ()

    @abstractmethod
    def text_member(self, piece: Piece) -> bytes:
        """What the text of such a piece is called in its frame, in quotes; it is told as it stands there."""


class RunWriter(ABC):
    """A :class:`relayhub.dialects.codec.StreamEncoder` that can write several pieces alike."""

    __slots__ = ()

    @abstractmethod
    def run_of(self, piece: Piece) -> WriteMore | None:
        """Writes text that goes on where ``piece`` stopped, which was encoded last, as encoding it would. Holds until
        anything is encoded, and does not raise. ``None``: only by encoding it."""


def around(frame: bytes) -> WriteMore | None:
    """Writes what ``frame`` is, with another text for :data:`HERE`; ``None`` where that is not plain to see."""
    before, found, after = frame.partition(_HERE)
    if not found or _HERE in after:
        return None
    dumps = orjson.dumps

    def write(text: str) -> bytes:
        return before + dumps(text) + after

    return write

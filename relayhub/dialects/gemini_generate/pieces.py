"""A streamed answer's bytes → its chunks, whichever way it is framed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from relayhub.dialects.gemini_generate.arrays import ArraySplitter
from relayhub.dialects.gemini_generate.upstream_errors import raise_error_body
from relayhub.dialects.sse import FrameSplitter, data_of
from relayhub.types.limits import MAX_MEDIA_EVENT

_BOM = b"\xef\xbb\xbf"
_SPACE = b" \t\r\n"


@dataclass(frozen=True, slots=True)
class Piece:
    """``lead`` and ``tail`` are the framing around ``data``, as the upstream wrote it."""

    lead: bytes
    data: bytes
    tail: bytes = b""


class Pieces:
    """Bytes in any reads → pieces. An array is told from events by its first byte."""

    __slots__ = ("_array", "_before", "_frames")

    def __init__(self) -> None:
        self._before = b""
        self._array: ArraySplitter | None = None
        self._frames: FrameSplitter | None = None

    @property
    def closed(self) -> bool:
        """The array has ended; nothing after it matters. Events end with the body only."""
        return self._array is not None and self._array.closed

    def feed(self, data: bytes) -> Iterator[Piece]:
        """Raises ``UpstreamError`` on a piece over the limit."""
        if self._array is None and self._frames is None:
            self._before += data
            start = self._before.removeprefix(_BOM).lstrip(_SPACE)
            if not start or _BOM.startswith(self._before):
                return
            data, self._before = self._before.removeprefix(_BOM), b""
            if start[:1] == b"[":
                self._array = ArraySplitter(MAX_MEDIA_EVENT)
            else:
                self._frames = FrameSplitter(MAX_MEDIA_EVENT)
        yield from self._cut(data)

    def _cut(self, data: bytes) -> Iterator[Piece]:
        if self._array is not None:
            for element in self._array.feed(data):
                yield Piece(element.lead, element.value)
        elif self._frames is not None:
            for frame in self._frames.feed(data):
                yield from _of_frame(frame)

    def rest(self) -> Iterator[Piece]:
        """At the end of the body: an event without its blank line. Raises ``UpstreamError`` if all that came is an
        error."""
        rest = self._before if self._frames is None else self._frames.rest()
        if self._array is None:
            raise_error_body(rest)
            yield from _of_frame(rest + b"\r\n\r\n" if rest else b"")


def _of_frame(frame: bytes) -> Iterator[Piece]:
    """Clients' SDKs understand nothing but a line that begins with ``data: ``: all else is left out or written anew."""
    data = data_of(frame)
    if data is None:
        return
    at = len(b"data: ")
    plain = frame.startswith(b"data: ") and frame.startswith(data, at)
    tail = frame[at + len(data) :] if plain else b""
    if plain and not tail.strip(_SPACE) and tail:
        yield Piece(b"data: ", data, tail)
    else:
        yield Piece(b"data: ", b" ".join(data.splitlines()), b"\r\n\r\n")

"""Server-sent events, for the readers of wires whose upstream streams them."""

from __future__ import annotations

from dataclasses import dataclass

from relayhub.dialects.sse import FrameSplitter, data_of


@dataclass(frozen=True, slots=True)
class SseEvent:
    """``name``: its ``event:`` field, or empty. ``data``: its lines joined with LF."""

    name: str
    data: bytes


class SseReader:
    """Bytes in any pieces → events; comments and events without data are left out. The events do not depend on the
    pieces. Tolerant as the standard says (LF, CR, CRLF, byte order mark), and bounded."""

    __slots__ = ("_frames",)

    def __init__(self) -> None:
        self._frames = FrameSplitter()

    def feed(self, data: bytes) -> list[SseEvent]:
        """The events that are whole now. Raises ``UpstreamError`` on one over the hub's limit."""
        return [event for frame in self._frames.feed(data) if (event := _event(frame)) is not None]

    def close(self) -> list[SseEvent]:
        """At the end of the body: the event that lacks its blank line, if there is one; some upstreams end so."""
        event = _event(self._frames.rest())
        return [] if event is None else [event]


def _event(frame: bytes) -> SseEvent | None:
    data = data_of(frame)
    return None if data is None else SseEvent(_name(frame), data)


def _name(frame: bytes) -> str:
    name = b""
    for line in frame.splitlines():
        field, _, value = line.partition(b":")
        if field == b"event":
            name = value.removeprefix(b" ")
    return name.decode("utf-8", "replace")

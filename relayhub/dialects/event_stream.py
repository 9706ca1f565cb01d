"""What readers of streamed answers have in common, whatever their dialect: frames in, and an error kept back until all that
came before it has been handed out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

from relayhub.dialects.openai_chat.upstream_json import parse_tolerantly, valid_utf8
from relayhub.dialects.sse import FrameSplitter, data_of, frame_of
from relayhub.dialects.upstream_errors import raise_error_body
from relayhub.types import limits
from relayhub.types.chat import ChatEvent
from relayhub.types.errors import ErrorKind, UpstreamError
from relayhub.types.json import JsonObject
from relayhub.types.usage import Usage


def broken_off() -> UpstreamError:
    """The body has ended cleanly, the answer has not."""
    return UpstreamError(
        ErrorKind.UPSTREAM_FAILED,
        "The upstream's answer broke off before its end.",
        code="upstream_truncated",
        retryable=False,
        delivered=True,
    )


class EventDecoder(ABC):
    """A :class:`relayhub.dialects.codec.StreamDecoder` for streams whose events are JSON objects.

    When an error follows good events in the same bytes, the events are returned and the next call (``feed(b"")`` will do)
    raises: so the same bytes in smaller pieces give the same events.
    """

    def __init__(self, max_event: int = limits.MAX_SSE_LINE) -> None:
        self._frames = FrameSplitter(max_event)
        self._failure: UpstreamError | None = None

    @abstractmethod
    def _event(self, value: JsonObject) -> Iterable[ChatEvent]:
        """Raises ``UpstreamError`` for an error event."""

    @abstractmethod
    def _ending(self) -> Iterable[ChatEvent]:
        """What is still to be said at a clean end of the body. Raises ``UpstreamError`` if the answer was not complete."""

    def feed(self, data: bytes) -> Sequence[ChatEvent]:
        if self._failure is not None:
            raise self._failure
        events: list[ChatEvent] = []
        try:
            for frame in self._frames.feed(data):
                for event in self._frame(frame):
                    events.append(event)
        except UpstreamError as error:
            self._failure = error
            if not events:
                raise
        return events

    def close(self) -> Sequence[ChatEvent]:
        if self._failure is not None:
            raise self._failure
        rest = self._frames.rest()
        raise_error_body(rest)
        return [*self._frame(rest), *self._ending()]

    def _frame(self, frame: bytes) -> Iterable[ChatEvent]:
        data = data_of(frame)
        value = None if data is None else parse_tolerantly(data)
        # One unreadable event is skipped: if it mattered, the end of the stream shows it.
        return () if value is None else self._event(value)


class EventTap(ABC):
    """A :class:`relayhub.dialects.codec.NativeStream` for streams whose events are JSON objects; errors as in
    :class:`EventDecoder`. Events that cannot be read are dropped: clients' parsers raise on them."""

    def __init__(self, max_event: int = limits.MAX_SSE_LINE) -> None:
        self.started = False
        self.usage: Usage | None = None
        self.delivered_chars = 0
        self._frames = FrameSplitter(max_event)
        self._failure: UpstreamError | None = None
        self._last: bytes | None = None
        """The terminal event, which waits for the settlement."""

    @property
    def ended(self) -> bool:
        return self._last is not None or self._failure is not None

    @abstractmethod
    def _event(self, frame: bytes, data: bytes, value: JsonObject) -> bytes:
        """What the client gets of this event now; the terminal one goes to ``_last``. Raises ``UpstreamError`` for an
        error event."""

    @abstractmethod
    def _ending(self) -> bytes:
        """The terminal bytes where the upstream sent none. Raises ``UpstreamError`` if the answer was not complete."""

    def feed(self, data: bytes) -> bytes:
        if self._failure is not None:
            raise self._failure
        out: list[bytes] = []
        try:
            for frame in self._frames.feed(data):
                out.append(self._frame(frame))
        except UpstreamError as error:
            self._failure = error
            if not any(out):
                raise
        return b"".join(out)

    def finish(self) -> bytes:
        if self._failure is not None:
            raise self._failure
        rest = self._frames.rest()
        raise_error_body(rest)
        before = self._frame(frame_of(data)) if (data := data_of(rest)) is not None else b""
        return before + (self._ending() if self._last is None else self._last)

    def _frame(self, frame: bytes) -> bytes:
        if self._last is not None:
            return b""
        frame = valid_utf8(frame)
        data = data_of(frame)
        if data is None:
            return frame
        value = parse_tolerantly(data)
        return b"" if value is None else self._event(frame, data, value)

"""Streams that are read as events on their way: translated ones, and native ones that a witness reads along."""

from __future__ import annotations

from relayhub.dialects.codec import NativeStream, StreamDecoder, StreamEncoder
from relayhub.gateway.kept_state import TurnState
from relayhub.types.chat import (
    ChatEvent,
    Ended,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    UsageReported,
)
from relayhub.types.errors import RelayhubError, UpstreamError
from relayhub.types.usage import Usage


class TranslatedStream:
    """Provider bytes → events → client bytes, with the same bookkeeping as the byte lane's tap."""

    def __init__(self, reader: StreamDecoder, encoder: StreamEncoder, state: TurnState) -> None:
        self.started = False
        self.usage: Usage | None = None
        self.delivered_chars = 0
        self._ended = False
        self._failure: UpstreamError | None = None
        self._reader = reader
        self._encoder = encoder
        self._state = state

    @property
    def ended(self) -> bool:
        return self._ended

    def feed(self, data: bytes) -> bytes:
        events = self._reader.feed(data)
        for event in events:
            self._note(event)
        self._look_for_failure()
        return self._encoder.encode(events)

    def _look_for_failure(self) -> None:
        """A reader gives what came before an error first and raises on its next call. Ask at once: the upstream may keep
        the connection open and say nothing more."""
        try:
            self._reader.feed(b"")
        except UpstreamError as error:
            self._failure = error
            self._ended = True

    def _note(self, event: ChatEvent) -> None:
        self.started = True
        self._state.note(event)
        match event:
            case TextDelta(_, text) | RefusalDelta(_, text) | ReasoningDelta(_, text):
                self.delivered_chars += len(text)
            case ToolCallDelta(_, _, arguments):
                self.delivered_chars += len(arguments)
            case UsageReported(usage):
                self.usage = usage
            case Ended():
                self._ended = True
            case _:
                pass

    def finish(self) -> bytes:
        if self._failure is not None:
            raise self._failure
        last: tuple[ChatEvent, ...] = () if self._ended else tuple(self._reader.close())
        for event in last:
            self._note(event)
        return self._encoder.encode(last) + self._encoder.finish()


class WitnessedStream:
    """A native stream whose bytes a decoder reads along, for the turn's state. The witness never disturbs the stream."""

    def __init__(self, stream: NativeStream, witness: StreamDecoder, state: TurnState) -> None:
        self._stream = stream
        self._witness: StreamDecoder | None = witness
        self._state = state

    @property
    def started(self) -> bool:
        return self._stream.started

    @property
    def usage(self) -> Usage | None:
        return self._stream.usage

    @property
    def delivered_chars(self) -> int:
        return self._stream.delivered_chars

    @property
    def ended(self) -> bool:
        return self._stream.ended

    def feed(self, data: bytes) -> bytes:
        self._read_along(data)
        return self._stream.feed(data)

    def _read_along(self, data: bytes) -> None:
        if self._witness is None:
            return
        try:
            for event in self._witness.feed(data):
                self._state.note(event)
        except RelayhubError:
            self._witness = None  # the stream itself tells the client what is wrong

    def finish(self) -> bytes:
        return self._stream.finish()

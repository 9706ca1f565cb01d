"""Streams that are read as events on their way: translated ones, and native ones that a witness reads along."""

from __future__ import annotations

from collections.abc import Iterator

from relayhub.dialects.codec import NativeStream, StreamDecoder, StreamEncoder
from relayhub.dialects.comparing import Comparing, Comparison
from relayhub.gateway.kept_state import TurnState
from relayhub.gateway.text_run import TextRun
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


class TranslatedStream(Comparing):
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
        self._run = TextRun(reader, encoder, state)

    @property
    def ended(self) -> bool:
        return self._ended

    @property
    def comparison(self) -> Comparison:
        return self._run

    def feed(self, data: bytes) -> bytes:
        run, end = self._run, len(data)
        if (chars := run.chars(data)) >= 0:
            self.delivered_chars += chars
            return run.shown(data)
        if run.possible and 0 <= data.find(b"\n\n") < end - 2:
            return self._feed_each(data)
        frames, _ = self._read(data)
        self._look_for_failure()
        return frames

    def _feed_each(self, data: bytes) -> bytes:
        """Frame by frame, so that of several most can go the short way. (A plugin's reader, which may raise anything, is
        given them at once: what it did not come to tell is not charged.)"""
        out: list[bytes] = []
        told = False
        try:
            for piece in _pieces(data):
                if (chars := self._run.chars(piece)) >= 0:
                    self.delivered_chars += chars
                    out.append(self._run.shown(piece))
                    told = True
                else:
                    frames, any_events = self._read(piece)
                    out.append(frames)
                    told = told or any_events
        except UpstreamError as error:
            if not told:
                raise
            self._fail(error)
        self._look_for_failure()
        return b"".join(out)

    def _read(self, data: bytes) -> tuple[bytes, bool]:
        """What the client gets of it, and whether it said anything."""
        self._run.end()
        events = self._reader.feed(data)
        for event in events:
            self._note(event)
        frames = self._encoder.encode(events)
        self._run.note(data, events)
        return frames, bool(events)

    def _look_for_failure(self) -> None:
        """A reader gives what came before an error first and raises on its next call. Ask at once: the upstream may keep
        the connection open and say nothing more."""
        try:
            self._reader.feed(b"")
        except UpstreamError as error:
            self._fail(error)

    def _fail(self, error: UpstreamError) -> None:
        """Once all has been handed out that came before it."""
        if self._failure is None:
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


def _pieces(data: bytes) -> Iterator[bytes]:
    """Cut behind each empty line, but for those of streams that do not end their lines with line feeds alone."""
    at = 0
    while at < len(data):
        found = data.find(b"\n\n", at)
        end = len(data) if found < 0 else found + 2
        yield data[at:end]
        at = end


class WitnessedStream:
    """A native stream whose bytes a decoder reads along, for the turn's state. The witness never disturbs the stream, and
    need not see what that does not read either: text and arguments, of which nothing is kept."""

    def __init__(self, stream: NativeStream, witness: StreamDecoder, state: TurnState) -> None:
        self._stream = stream
        self.comparing = stream if isinstance(stream, Comparing) else None
        """It takes frames past the witness."""
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
        if self.comparing is not None and (chars := self.comparing.comparison.chars(data)) >= 0:
            self.comparing.delivered_chars += chars
            return self.comparing.comparison.shown(data)
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

"""Rules for wires that translate chat into the upstream's own language."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar
from unittest import SkipTest

from relayhub.sdk import (
    ChatEvent,
    ChatProvider,
    ChatReader,
    ChatReply,
    ChatRequest,
    ChatWire,
    Dialect,
    Ended,
    Finished,
    HttpReply,
    HttpRequest,
    Message,
    Role,
    Started,
    TextDelta,
    TextPart,
    UpstreamError,
    Usage,
    UsageReported,
)
from relayhub.testing.errors import ErrorReader, ErrorSuite
from relayhub.testing.requests import RequestSuite

ENDLESS = 8 << 20
"""Bytes without an end that a reader must not keep; the hub's own limit on a line is far lower."""


def question(model: str, text: str = "Hello!", *, stream: bool = False) -> ChatRequest:
    """A small request."""
    message = Message(Role.USER, (TextPart(text),), plain=True)
    return ChatRequest(dialect=Dialect.OPENAI_CHAT.value, model=model, messages=(message,), stream=stream)


class ChatWireSuite(RequestSuite, ErrorSuite):
    """``reply_body`` and ``stream_body``: what the upstream answers to a small question, whole and streamed (recorded
    from its documentation or a simulator). ``text`` and ``usage``: what is in both. ``stream_error_body``: a stream that
    begins and then tells of an error, if the upstream can do that."""

    model: ClassVar[str] = "model-1"
    reply_body: ClassVar[bytes]
    stream_body: ClassVar[bytes]
    text: ClassVar[str]
    usage: ClassVar[Usage | None] = None
    stream_error_body: ClassVar[bytes | None] = None

    def chat_wire(self) -> ChatWire:
        built = self.build()
        assert isinstance(built, ChatProvider), "implement chat()"
        return built.chat()

    def paid_requests(self) -> list[HttpRequest]:
        return [*super().paid_requests(), *(self.chat_request(stream=stream) for stream in (False, True))]

    def error_readers(self) -> list[ErrorReader]:
        return [*super().error_readers(), self.chat_wire().error]

    def chat_request(self, *, stream: bool = False) -> HttpRequest:
        return self.chat_wire().request(self.model, question(self.model, stream=stream))

    def reply(self) -> ChatReply:
        return self.chat_wire().reply(HttpReply(200, {"content-type": "application/json"}, self.reply_body))

    def events(self, *pieces: bytes) -> list[ChatEvent]:
        """Everything that these reads and the end of the body give."""
        reader = self.chat_wire().reader()
        return [*_fed(reader, *pieces), *reader.close()]

    def _usage(self) -> Usage:
        if self.usage is None:
            raise SkipTest("set `usage` to what reply_body and stream_body report")
        return self.usage

    def test_what_the_user_said_is_in_the_request(self) -> None:
        body = self.chat_wire().request(self.model, question(self.model, "needle-in-the-request")).body
        assert b"needle-in-the-request" in body, "the user's text is not in the request"

    def test_a_whole_answer_is_read(self) -> None:
        assert _text_of(self.reply()) == self.text, "reply() does not give the text that is in reply_body"

    def test_a_whole_answer_tells_its_usage(self) -> None:
        assert self.reply().usage == self._usage(), "reply() does not give the usage in reply_body"

    def test_an_unreadable_answer_is_an_upstream_error(self) -> None:
        for body in (b"", b"{", b"[]", b"<html>", self.reply_body[:-1]):
            try:
                self.chat_wire().reply(HttpReply(200, {}, body))
            except UpstreamError:
                continue
            raise AssertionError(f"reply() took {body!r} for an answer: raise UpstreamError (see upstream_broke)")

    def test_a_stream_is_read(self) -> None:
        events = self.events(self.stream_body)
        assert isinstance(events[0], Started), "the first event of a stream is Started"
        spoken = "".join(event.text for event in events if isinstance(event, TextDelta))
        assert spoken == self.text, "the stream does not give the text that is in stream_body"

    def test_a_stream_tells_its_usage(self) -> None:
        reported = [event.usage for event in self.events(self.stream_body) if isinstance(event, UsageReported)]
        assert reported[-1:] == [self._usage()], "the stream does not give the usage in stream_body"

    def test_every_choice_finishes_once(self) -> None:
        finished = [event.choice for event in self.events(self.stream_body) if isinstance(event, Finished)]
        assert finished and len(finished) == len(set(finished)), "one Finished per choice, after its last delta"

    def test_any_split_of_a_stream_gives_the_same_events(self) -> None:
        whole = _merged(self.events(self.stream_body))
        for cut in range(len(self.stream_body)):
            split = _merged(self.events(self.stream_body[:cut], self.stream_body[cut:]))
            assert split == whole, f"a read that ends after byte {cut} changes the events: keep what is incomplete"
        single = _merged(self.events(*(bytes([byte]) for byte in self.stream_body)))
        assert single == whole, "single bytes change the events: keep what is incomplete"

    def test_answers_that_come_at_once_do_not_mix(self) -> None:
        wire = self.chat_wire()
        first, second = wire.reader(), wire.reader()
        half = len(self.stream_body) // 2
        seen = _fed(first, self.stream_body[:half])
        other = [*_fed(second, self.stream_body), *second.close()]
        seen += [*_fed(first, self.stream_body[half:]), *first.close()]
        alone = self.events(self.stream_body[:half], self.stream_body[half:]), self.events(self.stream_body)
        assert (seen, other) == alone, "reader() must return a new reader, sharing nothing with the others"

    def test_a_truncated_stream_is_never_a_normal_end(self) -> None:
        for cut in range(1, len(self.stream_body)):
            reader = self.chat_wire().reader()
            try:
                seen = list(reader.feed(self.stream_body[:cut]))
                seen += reader.close()
            except UpstreamError:
                continue
            complete = any(isinstance(event, Ended | Finished) for event in seen)
            assert complete, f"the stream was cut after byte {cut}, and close() did not raise UpstreamError"

    def test_an_error_in_a_stream_is_raised(self) -> None:
        body = self.stream_error_body
        if body is None:
            raise SkipTest("set `stream_error_body` if the upstream can tell of an error in a stream")
        try:
            self.chat_wire().reader().feed(body)
        except UpstreamError as error:
            assert error.delivered, "the answer had begun: delivered=True, or it could be sent twice"
            return
        raise AssertionError("feed() read stream_error_body like an answer: raise UpstreamError")

    def test_a_stream_without_an_end_is_given_up(self) -> None:
        reader = self.chat_wire().reader()
        try:
            for _ in range(ENDLESS >> 16):
                reader.feed(b"x" * (1 << 16))
        except UpstreamError:
            return
        raise AssertionError("the reader keeps a line without an end: bound it (see LineSplitter and SseReader)")


def _fed(reader: ChatReader, *pieces: bytes) -> list[ChatEvent]:
    return [event for piece in pieces for event in reader.feed(piece)]


def _text_of(reply: ChatReply) -> str:
    parts = reply.choices[0].message.parts
    return "".join(part.text for part in parts if isinstance(part, TextPart))


def _merged(events: Sequence[ChatEvent]) -> list[ChatEvent]:
    """Neighbouring text deltas of one choice are the same as one."""
    merged: list[ChatEvent] = []
    for event in events:
        last = merged[-1] if merged else None
        if isinstance(event, TextDelta) and isinstance(last, TextDelta) and last.choice == event.choice:
            merged[-1] = TextDelta(event.choice, last.text + event.text)
        else:
            merged.append(event)
    return merged

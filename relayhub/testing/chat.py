"""Rules for wires that translate chat into the upstream's own language."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar
from urllib.parse import urlsplit

from relayhub.sdk import (
    ChatEvent,
    ChatProvider,
    ChatReply,
    ChatRequest,
    ChatWire,
    Dialect,
    Effect,
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
from relayhub.testing.errors import ErrorSuite


def question(model: str, text: str = "Hello!", *, stream: bool = False) -> ChatRequest:
    """A small request."""
    message = Message(Role.USER, (TextPart(text),), plain=True)
    return ChatRequest(dialect=Dialect.OPENAI_CHAT.value, model=model, messages=(message,), stream=stream)


class ChatWireSuite(ErrorSuite):
    """``reply_body`` and ``stream_body``: what the upstream answers to a small question, whole and streamed (recorded
    from its documentation or a simulator). ``text`` and ``usage``: what is in both."""

    model: ClassVar[str] = "model-1"
    reply_body: ClassVar[bytes]
    stream_body: ClassVar[bytes]
    text: ClassVar[str]
    usage: ClassVar[Usage | None] = None

    def wire(self) -> ChatWire:
        built = self.build()
        assert isinstance(built, ChatProvider), "implement chat()"
        return built.chat()

    def read_error(self, reply: HttpReply) -> UpstreamError:
        return self.wire().error(reply)

    def reply(self) -> ChatReply:
        return self.wire().reply(HttpReply(200, {"content-type": "application/json"}, self.reply_body))

    def events(self, *pieces: bytes) -> list[ChatEvent]:
        """Everything that these reads and the end of the body give."""
        reader = self.wire().reader()
        found = [event for piece in pieces for event in reader.feed(piece)]
        return [*found, *reader.close()]

    def request(self, *, stream: bool = False) -> HttpRequest:
        return self.wire().request(self.model, question(self.model, stream=stream))

    def test_requests_go_to_an_absolute_url(self) -> None:
        parts = urlsplit(self.request().url)
        assert parts.scheme and parts.netloc, f"{self.request().url!r} is not an absolute URL"

    def test_the_credential_is_in_a_header_and_not_in_the_url(self) -> None:
        request = self.request()
        for secret in self.secrets():
            assert secret not in request.url, "URLs end up in logs: send the key in a header"
            assert any(secret in value for value in request.headers.values()), "the key is sent nowhere"

    def test_generations_are_marked_as_paid(self) -> None:
        assert self.request().effect is Effect.PAID, "a generation costs money: effect=Effect.PAID"

    def test_what_the_user_said_is_in_the_request(self) -> None:
        body = self.wire().request(self.model, question(self.model, "needle-in-the-request")).body
        assert b"needle-in-the-request" in body, "the user's text is not in the request"

    def test_a_whole_answer_is_read(self) -> None:
        assert _text_of(self.reply()) == self.text, "reply() does not give the text that is in reply_body"

    def test_a_whole_answer_tells_its_usage(self) -> None:
        assert self.usage is None or self.reply().usage == self.usage, "reply() does not give the usage in reply_body"

    def test_an_unreadable_answer_is_an_upstream_error(self) -> None:
        for body in (b"", b"{", b"[]", b"<html>"):
            try:
                self.wire().reply(HttpReply(200, {}, body))
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
        assert self.usage is None or reported[-1:] == [self.usage], "the stream does not give the usage in stream_body"

    def test_every_choice_finishes_once(self) -> None:
        finished = [event.choice for event in self.events(self.stream_body) if isinstance(event, Finished)]
        assert finished and len(finished) == len(set(finished)), "one Finished per choice, after its last delta"

    def test_any_split_of_a_stream_gives_the_same_events(self) -> None:
        whole = _merged(self.events(self.stream_body))
        for cut in range(len(self.stream_body)):
            split = _merged(self.events(self.stream_body[:cut], self.stream_body[cut:]))
            assert split == whole, f"a read that ends after byte {cut} changes the events: keep what is incomplete"

    def test_a_truncated_stream_is_never_a_normal_end(self) -> None:
        for cut in range(1, len(self.stream_body)):
            reader = self.wire().reader()
            try:
                seen = list(reader.feed(self.stream_body[:cut]))
                seen += reader.close()
            except UpstreamError:
                continue
            complete = any(isinstance(event, Ended | Finished) for event in seen)
            assert complete, f"the stream was cut after byte {cut}, and close() did not raise UpstreamError"


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

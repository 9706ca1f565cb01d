"""The two ways through the hub, behind one interface: bytes where the provider speaks the client's dialect, translation
through the hub types otherwise. Sans-io: the pipeline moves the bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from relayhub.dialects.codec import ChatDialect, StreamDecoder, StreamEncoder
from relayhub.dialects.openai_embeddings import EmbeddingsDialect
from relayhub.gateway.call import Call
from relayhub.routing.catalog import Route
from relayhub.sdk.provider import ChatWire, EmbeddingWire, NativeWire
from relayhub.types.call import Operation
from relayhub.types.chat import (
    ChatEvent,
    ChatReply,
    Ended,
    Part,
    ReasoningDelta,
    ReasoningPart,
    RefusalDelta,
    RefusalPart,
    TextDelta,
    TextPart,
    ToolCallDelta,
    ToolCallPart,
    UsageReported,
)
from relayhub.types.errors import UpstreamError, upstream_broke
from relayhub.types.http import HttpReply, HttpRequest
from relayhub.types.usage import Usage


class LaneStream(Protocol):
    """A streamed answer on its way through; see :class:`relayhub.dialects.codec.NativeStream`."""

    started: bool
    usage: Usage | None
    delivered_chars: int

    def feed(self, data: bytes) -> bytes: ...

    @property
    def ended(self) -> bool: ...

    def finish(self) -> bytes: ...


class Lane(Protocol):
    """One call on one route."""

    def request(self) -> HttpRequest: ...
    def error(self, reply: HttpReply) -> UpstreamError: ...
    def whole(self, reply: HttpReply) -> tuple[bytes, Usage | None]: ...
    def spoken_chars(self, body: bytes) -> int:
        """Characters that the model wrote in a whole answer, for an estimate where no usage came with it."""
        ...

    def stream(self, headers: Mapping[str, str]) -> LaneStream:
        """``headers``: of the upstream's answer, names lower case."""
        ...


@dataclass(frozen=True, slots=True)
class Codecs:
    """The dialects this hub speaks to clients."""

    chat: ChatDialect
    embeddings: EmbeddingsDialect


def choose_lane(codecs: Codecs, call: Call, model: str, route: Route) -> Lane | None:
    """Bytes if the route's provider speaks the call's dialect, else translation, else ``None``: it cannot serve it."""
    able = route.provider.capabilities
    rename_to = None if route.upstream_model == model else model
    native = able.native.get(call.dialect)
    match call.operation:
        case Operation.CHAT if native is not None:
            return NativeChat(codecs.chat, native, call, route.upstream_model, rename_to)
        case Operation.CHAT if able.chat is not None:
            return TranslatedChat(codecs.chat, able.chat, call, route.upstream_model, model)
        case Operation.EMBEDDINGS if native is not None:
            return NativeEmbeddings(codecs.embeddings, native, call, route.upstream_model, rename_to)
        case Operation.EMBEDDINGS if able.embeddings is not None:
            return TranslatedEmbeddings(codecs.embeddings, able.embeddings, call, route.upstream_model, model)
        case _:
            return None


def _refuse_content(headers: Mapping[str, str], unwanted: str) -> None:
    """Refuse an answer that is plainly of the other kind; compatible upstreams often send no type, or a wrong one."""
    content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type == unwanted:
        raise upstream_broke(f"it sent {content_type}, which was not asked for")


def _chars(reply: ChatReply) -> int:
    parts = (part for choice in reply.choices for part in choice.message.parts)
    return sum(_part_chars(part) for part in parts)


def _part_chars(part: Part) -> int:
    match part:
        case TextPart(text) | RefusalPart(text) | ReasoningPart(text):
            return len(text)
        case ToolCallPart():
            return len(part.arguments)
        case _:
            return 0


@dataclass(frozen=True, slots=True)
class NativeChat:
    codec: ChatDialect
    wire: NativeWire
    call: Call
    upstream_model: str
    rename_to: str | None

    def request(self) -> HttpRequest:
        envelope = self.call.envelope
        body = self.codec.native_request(self.call.body, model=self.upstream_model, envelope=envelope)
        return self.wire.request(self.call.operation, body, stream=envelope.stream)

    def error(self, reply: HttpReply) -> UpstreamError:
        return self.wire.error(reply)

    def whole(self, reply: HttpReply) -> tuple[bytes, Usage | None]:
        _refuse_content(reply.headers, "text/event-stream")
        return self.codec.native_reply(reply.body, rename_to=self.rename_to)

    def spoken_chars(self, body: bytes) -> int:
        return _chars(self.codec.decode_reply(body))

    def stream(self, headers: Mapping[str, str]) -> LaneStream:
        _refuse_content(headers, "application/json")
        return self.codec.native_stream(rename_to=self.rename_to, include_usage=self.call.envelope.include_usage)


@dataclass(frozen=True, slots=True)
class TranslatedChat:
    codec: ChatDialect
    wire: ChatWire
    call: Call
    upstream_model: str
    model: str

    def request(self) -> HttpRequest:
        return self.wire.request(self.upstream_model, self.codec.decode_request(self.call.body))

    def error(self, reply: HttpReply) -> UpstreamError:
        return self.wire.error(reply)

    def whole(self, reply: HttpReply) -> tuple[bytes, Usage | None]:
        answer = self.wire.reply(reply)
        return self.codec.encode_reply(replace(answer, model=self.model)), answer.usage

    def spoken_chars(self, body: bytes) -> int:
        return _chars(self.codec.decode_reply(body))

    def stream(self, headers: Mapping[str, str]) -> LaneStream:
        encoder = self.codec.stream_encoder(model=self.model, include_usage=self.call.envelope.include_usage)
        return TranslatedStream(self.wire.reader(), encoder)


class TranslatedStream:
    """Provider bytes → events → client bytes, with the same bookkeeping as the byte lane's tap."""

    def __init__(self, reader: StreamDecoder, encoder: StreamEncoder) -> None:
        self.started = False
        self.usage: Usage | None = None
        self.delivered_chars = 0
        self._ended = False
        self._failure: UpstreamError | None = None
        self._reader = reader
        self._encoder = encoder

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


@dataclass(frozen=True, slots=True)
class NativeEmbeddings:
    codec: EmbeddingsDialect
    wire: NativeWire
    call: Call
    upstream_model: str
    rename_to: str | None

    def request(self) -> HttpRequest:
        body = self.codec.native_request(self.call.body, model=self.upstream_model)
        return self.wire.request(self.call.operation, body, stream=False)

    def error(self, reply: HttpReply) -> UpstreamError:
        return self.wire.error(reply)

    def whole(self, reply: HttpReply) -> tuple[bytes, Usage | None]:
        return self.codec.native_reply(reply.body, asked=self.call.body, rename_to=self.rename_to)

    def spoken_chars(self, body: bytes) -> int:
        return 0

    def stream(self, headers: Mapping[str, str]) -> LaneStream:
        raise AssertionError("embeddings are never streamed")


@dataclass(frozen=True, slots=True)
class TranslatedEmbeddings:
    codec: EmbeddingsDialect
    wire: EmbeddingWire
    call: Call
    upstream_model: str
    model: str

    def request(self) -> HttpRequest:
        return self.wire.request(self.upstream_model, self.codec.decode_request(self.call.body))

    def error(self, reply: HttpReply) -> UpstreamError:
        return self.wire.error(reply)

    def whole(self, reply: HttpReply) -> tuple[bytes, Usage | None]:
        answer = self.wire.reply(reply)
        return self.codec.encode_reply(answer, asked=self.call.body, model=self.model), answer.usage

    def spoken_chars(self, body: bytes) -> int:
        return 0

    def stream(self, headers: Mapping[str, str]) -> LaneStream:
        raise AssertionError("embeddings are never streamed")

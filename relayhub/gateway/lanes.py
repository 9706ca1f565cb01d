"""The ways through the hub, behind one interface: bytes where the provider speaks the client's dialect, translation
through the hub types otherwise. Sans-io: the pipeline moves the bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from relayhub.dialects.codec import ChatDialect, ClientDialect, ClientView, Framing
from relayhub.dialects.openai_embeddings import EmbeddingsDialect
from relayhub.dialects.openai_native import NativeDialect
from relayhub.gateway.answers import LaneStream, WholeAnswer, chars_of, refuse_content
from relayhub.gateway.call import Call
from relayhub.gateway.kept_state import TurnState
from relayhub.gateway.native_lanes import RelayedOnly
from relayhub.gateway.translated_stream import TranslatedStream, WitnessedStream
from relayhub.routing.catalog import Route
from relayhub.sdk.provider import ChatWire, EmbeddingWire, NativeCall, NativeWire
from relayhub.types.call import Operation
from relayhub.types.chat import ChatReply, ChatRequest
from relayhub.types.errors import UpstreamError
from relayhub.types.http import HttpReply, HttpRequest

_SSE = Framing.SSE

CHARS_PER_TOKEN = 3
"""For charging a call whose upstream never said what it used: between English (4) and Chinese (1 to 2)."""


class Lane(Protocol):
    """One call on one route."""

    def request(self) -> HttpRequest: ...
    def error(self, reply: HttpReply) -> UpstreamError: ...
    def whole(self, reply: HttpReply) -> WholeAnswer: ...
    def spoken_chars(self, body: bytes) -> int:
        """Characters that the model wrote in a whole answer, for an estimate where no usage came with it."""
        ...

    def stream(self, headers: Mapping[str, str]) -> LaneStream:
        """``headers``: of the upstream's answer, names lower case."""
        ...

    @property
    def state(self) -> TurnState | None:
        """What the answer's thinking needs when the conversation comes back; ``None`` where nobody asks."""
        ...


@dataclass(frozen=True, slots=True)
class Codecs:
    """The dialects this hub speaks to clients. ``native``: those that are never translated. ``foreign``: plugins'; they
    always are."""

    chat: Mapping[str, ChatDialect]
    embeddings: Mapping[str, EmbeddingsDialect]
    native: Mapping[str, NativeDialect] = field(default_factory=dict)
    foreign: Mapping[str, ClientDialect] = field(default_factory=dict)

    def client(self, dialect: str) -> ClientDialect | None:
        """The codec of a chat dialect, whoever brought it."""
        return self.chat.get(dialect) or self.foreign.get(dialect)


def choose_lane(codecs: Codecs, call: Call, view: ClientView, route: Route, *, witness: bool) -> Lane | None:
    """Bytes if the route's provider speaks the call's dialect, else translation, else ``None``: it cannot serve it.
    ``witness``: note the signed state of answers in the byte lane too."""
    able = route.provider.capabilities
    native = able.native.get(call.dialect)
    match call.operation:
        case Operation.CHAT if native is not None:
            return NativeChat(codecs.chat[call.dialect], native, call, view, TurnState() if witness else None)
        case Operation.CHAT if able.chat is not None:
            codec = codecs.client(call.dialect)
            return None if codec is None else TranslatedChat(codec, able.chat, call, view)
        case Operation.EMBEDDINGS if native is not None:
            return NativeEmbeddings(codecs.embeddings[call.dialect], native, call, view)
        case Operation.EMBEDDINGS if able.embeddings is not None:
            return TranslatedEmbeddings(codecs.embeddings[call.dialect], able.embeddings, call, view)
        case _ if native is not None and call.dialect in codecs.native:
            return RelayedOnly(codecs.native[call.dialect], native, call, view)
        case _:
            return None


def view_of(call: Call, model: str, route: Route, created: int) -> ClientView:
    """``model``: the public name; ``created``: unix seconds."""
    estimate = -(-call.size() // CHARS_PER_TOKEN)
    return ClientView(call.envelope, model, route.upstream_model, call.id, created, estimate, route.image_form)


class NativeChat(msgspec.Struct, eq=False):
    codec: ChatDialect
    wire: NativeWire
    call: Call
    view: ClientView
    state: TurnState | None = None

    def body(self) -> bytes:
        """What the upstream is sent."""
        call = self.call
        assert isinstance(call.body, bytes)
        return self.codec.native_request(call.body, model=self.view.upstream_model, envelope=call.envelope)

    def request(self) -> HttpRequest:
        call, envelope = self.call, self.call.envelope
        framing = envelope.framing if envelope.stream else None
        return self.wire.request(
            NativeCall(call.operation, self.view.upstream_model, self.body(), framing, call.headers)
        )

    def error(self, reply: HttpReply) -> UpstreamError:
        return self.wire.error(reply)

    def whole(self, reply: HttpReply) -> WholeAnswer:
        return self.passed_on(reply.headers, reply.body)

    def passed_on(self, headers: Mapping[str, str], body: bytes) -> WholeAnswer:
        """Of an answer that is at hand, without an :class:`HttpReply` made for it."""
        refuse_content(headers, "text/event-stream")
        told, usage = self.codec.native_reply(body, self.view)
        if self.state is not None:
            self.state = TurnState.of_reply(self.codec.decode_reply(body))
        return WholeAnswer(told, usage)

    def spoken_chars(self, body: bytes) -> int:
        return chars_of(self.codec.decode_reply(body))

    def stream(self, headers: Mapping[str, str]) -> LaneStream:
        if self.call.envelope.framing is _SSE:
            refuse_content(headers, "application/json")
        stream = self.codec.native_stream(self.view)
        if self.state is None:
            return stream
        return WitnessedStream(stream, self.codec.stream_decoder(), self.state)


@dataclass(slots=True)
class TranslatedChat:
    """``conversation``: the decoded request, once the pipeline has it ready for this wire."""

    codec: ClientDialect
    wire: ChatWire
    call: Call
    view: ClientView
    state: TurnState | None = field(default_factory=TurnState)
    answer: ChatReply | None = None
    """A whole one, once it is there."""

    def prepare(self, conversation: ChatRequest) -> None:
        """To be called before :meth:`request`."""
        self.view = msgspec.structs.replace(self.view, request=conversation)

    @property
    def wants_inline_media(self) -> bool:
        return bool(getattr(self.wire, "inline_media", False))

    def request(self) -> HttpRequest:
        assert self.view.request is not None
        return self.wire.request(self.view.upstream_model, self.view.request)

    def error(self, reply: HttpReply) -> UpstreamError:
        return self.wire.error(reply)

    def whole(self, reply: HttpReply) -> WholeAnswer:
        answer = self.answer = self.wire.reply(reply)
        self.state = TurnState.of_reply(answer)
        return WholeAnswer(self.codec.encode_reply(answer, self.view), answer.usage)

    def spoken_chars(self, body: bytes) -> int:
        return 0 if self.answer is None else chars_of(self.answer)

    def stream(self, headers: Mapping[str, str]) -> LaneStream:
        assert self.state is not None
        return TranslatedStream(self.wire.reader(), self.codec.stream_encoder(self.view), self.state)


@dataclass(frozen=True, slots=True)
class NativeEmbeddings:
    codec: EmbeddingsDialect
    wire: NativeWire
    call: Call
    view: ClientView
    state: None = None

    def request(self) -> HttpRequest:
        call = self.call
        assert isinstance(call.body, bytes)
        body = self.codec.native_request(call.body, model=self.view.upstream_model)
        return self.wire.request(NativeCall(call.operation, self.view.upstream_model, body, None, call.headers))

    def error(self, reply: HttpReply) -> UpstreamError:
        return self.wire.error(reply)

    def whole(self, reply: HttpReply) -> WholeAnswer:
        asked = self.call.body
        assert isinstance(asked, bytes)
        return WholeAnswer(*self.codec.native_reply(reply.body, asked=asked, rename_to=self.view.rename_to))

    def spoken_chars(self, body: bytes) -> int:
        return 0

    def stream(self, headers: Mapping[str, str]) -> LaneStream:
        raise AssertionError("embeddings are never streamed")


@dataclass(frozen=True, slots=True)
class TranslatedEmbeddings:
    codec: EmbeddingsDialect
    wire: EmbeddingWire
    call: Call
    view: ClientView
    state: None = None

    def request(self) -> HttpRequest:
        assert isinstance(self.call.body, bytes)
        return self.wire.request(self.view.upstream_model, self.codec.decode_request(self.call.body))

    def error(self, reply: HttpReply) -> UpstreamError:
        return self.wire.error(reply)

    def whole(self, reply: HttpReply) -> WholeAnswer:
        asked = self.call.body
        assert isinstance(asked, bytes)
        answer = self.wire.reply(reply)
        return WholeAnswer(self.codec.encode_reply(answer, asked=asked, model=self.view.model), answer.usage)

    def spoken_chars(self, body: bytes) -> int:
        return 0

    def stream(self, headers: Mapping[str, str]) -> LaneStream:
        raise AssertionError("embeddings are never streamed")

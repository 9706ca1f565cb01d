"""Chat for providers that only pass bytes on: the hub's codec of their dialect writes the request, their own wire sends
it. So every native provider serves every client dialect, without a line of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from relayhub.dialects.codec import EncodedRequest, Framing, StreamDecoder
from relayhub.sdk.provider import ChatReader, NativeCall, NativeWire
from relayhub.types.call import Operation
from relayhub.types.chat import ChatReply, ChatRequest
from relayhub.types.embedding import EmbeddingReply, EmbeddingRequest
from relayhub.types.errors import UpstreamError
from relayhub.types.http import HttpReply, HttpRequest


class UpstreamChatCodec(Protocol):
    """The half of a chat codec that faces upstreams."""

    def encode_request(self, request: ChatRequest, *, model: str) -> EncodedRequest: ...
    def decode_reply(self, body: bytes) -> ChatReply: ...
    def stream_decoder(self) -> StreamDecoder: ...


TargetT_contra = TypeVar("TargetT_contra", contravariant=True)


class TargetingCodec(Protocol[TargetT_contra]):
    """As :class:`UpstreamChatCodec`, where what can be said depends on the model."""

    def encode_request(self, request: ChatRequest, *, model: str, target: TargetT_contra) -> EncodedRequest: ...
    def decode_reply(self, body: bytes) -> ChatReply: ...
    def stream_decoder(self) -> StreamDecoder: ...


TargetT = TypeVar("TargetT")


@dataclass(frozen=True, slots=True)
class TargetedCodec(Generic[TargetT]):
    """A codec with a provider's knowledge of its models. ``target_of``: upstream model → what it can do."""

    codec: TargetingCodec[TargetT]
    target_of: Callable[[str], TargetT]

    def encode_request(self, request: ChatRequest, *, model: str) -> EncodedRequest:
        return self.codec.encode_request(request, model=model, target=self.target_of(model))

    def decode_reply(self, body: bytes) -> ChatReply:
        return self.codec.decode_reply(body)

    def stream_decoder(self) -> StreamDecoder:
        return self.codec.stream_decoder()


@dataclass(frozen=True, slots=True)
class NativeChatWire:
    """A :class:`relayhub.sdk.ChatWire`. ``inline_media``: as it says there."""

    native: NativeWire
    codec: UpstreamChatCodec
    inline_media: bool = False

    def request(self, model: str, request: ChatRequest) -> HttpRequest:
        encoded = self.codec.encode_request(request, model=model)
        framing = Framing.SSE if request.stream else None
        sent = self.native.request(NativeCall(Operation.CHAT, model, encoded.body, framing))
        return _noting(sent, encoded.dropped)

    def reply(self, reply: HttpReply) -> ChatReply:
        return self.codec.decode_reply(reply.body)

    def reader(self) -> ChatReader:
        return self.codec.stream_decoder()

    def error(self, reply: HttpReply) -> UpstreamError:
        return self.native.error(reply)


class UpstreamEmbeddingCodec(Protocol):
    """The half of an embeddings codec that faces upstreams."""

    def encode_request(self, request: EmbeddingRequest, *, model: str) -> EncodedRequest: ...
    def decode_reply(self, body: bytes) -> EmbeddingReply: ...


@dataclass(frozen=True, slots=True)
class NativeEmbeddingWire:
    """A :class:`relayhub.sdk.EmbeddingWire`."""

    native: NativeWire
    codec: UpstreamEmbeddingCodec

    def request(self, model: str, request: EmbeddingRequest) -> HttpRequest:
        encoded = self.codec.encode_request(request, model=model)
        sent = self.native.request(NativeCall(Operation.EMBEDDINGS, model, encoded.body))
        return _noting(sent, encoded.dropped)

    def reply(self, reply: HttpReply) -> EmbeddingReply:
        return self.codec.decode_reply(reply.body)

    def error(self, reply: HttpReply) -> UpstreamError:
        return self.native.error(reply)


def _noting(request: HttpRequest, dropped: tuple[str, ...]) -> HttpRequest:
    if not dropped:
        return request
    return HttpRequest(request.method, request.url, request.headers, request.body, request.effect, dropped)

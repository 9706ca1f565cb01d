"""The dialect as one object."""

from __future__ import annotations

from relayhub.dialects.anthropic_messages.envelope import read_envelope
from relayhub.dialects.anthropic_messages.errors import encode_error_event
from relayhub.dialects.anthropic_messages.names import NAME
from relayhub.dialects.anthropic_messages.native import MessagesTap, native_reply, native_request
from relayhub.dialects.anthropic_messages.reply import decode_reply, encode_reply
from relayhub.dialects.anthropic_messages.request import decode_request, encode_own_request
from relayhub.dialects.anthropic_messages.stream_decoder import MessagesStreamDecoder
from relayhub.dialects.anthropic_messages.stream_encoder import MessagesStreamEncoder, frame
from relayhub.dialects.anthropic_messages.target import AnthropicTarget
from relayhub.dialects.anthropic_messages.translation import encode_foreign_request
from relayhub.dialects.codec import (
    ClientView,
    EncodedRequest,
    Envelope,
    Framing,
    NativeStream,
    StreamDecoder,
    StreamEncoder,
)
from relayhub.dialects.outline import read_request
from relayhub.dialects.upstream_errors import decode_error
from relayhub.types.chat import ChatReply, ChatRequest
from relayhub.types.errors import RelayhubError, UpstreamError
from relayhub.types.http import HttpReply
from relayhub.types.usage import Usage

PING = frame({"type": "ping"})


class AnthropicMessages:
    """``POST /v1/messages``; see :class:`relayhub.dialects.codec.ChatDialect`. Holds no state."""

    name: str = NAME
    keep_alive: bytes | None = PING

    def envelope(self, body: bytes, *, model: str | None = None, framing: Framing | None = None) -> Envelope:
        return read_request(body, read_envelope)

    def decode_request(self, body: bytes, envelope: Envelope) -> ChatRequest:
        return decode_request(body, envelope)

    def encode_reply(self, reply: ChatReply, view: ClientView) -> bytes:
        return encode_reply(reply, view)

    def stream_encoder(self, view: ClientView) -> StreamEncoder:
        return MessagesStreamEncoder(view)

    def encode_error_event(self, error: RelayhubError, request_id: str, envelope: Envelope) -> bytes:
        return encode_error_event(error, request_id)

    def encode_request(self, request: ChatRequest, *, model: str, target: AnthropicTarget) -> EncodedRequest:
        own = request.dialect == NAME
        encode = encode_own_request if own else encode_foreign_request
        return encode(request, model=model, target=target)

    def decode_reply(self, body: bytes) -> ChatReply:
        return decode_reply(body)

    def stream_decoder(self) -> StreamDecoder:
        return MessagesStreamDecoder()

    def decode_error(self, reply: HttpReply) -> UpstreamError:
        return decode_error(reply)

    def native_request(self, body: bytes, *, model: str, envelope: Envelope) -> bytes:
        return native_request(body, model=model, envelope=envelope)

    def native_reply(self, body: bytes, view: ClientView) -> tuple[bytes, Usage | None]:
        return native_reply(body, rename_to=view.rename_to)

    def native_stream(self, view: ClientView) -> NativeStream:
        return MessagesTap(rename_to=view.rename_to)

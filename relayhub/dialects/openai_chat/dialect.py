"""The dialect as one object."""

from __future__ import annotations

from msgspec.structs import replace

from relayhub.dialects.codec import (
    ClientView,
    EncodedRequest,
    Envelope,
    Framing,
    NativeStream,
    StreamDecoder,
    StreamEncoder,
)
from relayhub.dialects.jsontext import parse_object
from relayhub.dialects.openai_chat.envelope import read_envelope
from relayhub.dialects.openai_chat.errors import encode_error_event
from relayhub.dialects.openai_chat.native import native_reply, native_request
from relayhub.dialects.openai_chat.native_stream import ChatNativeStream
from relayhub.dialects.openai_chat.normalise import normalised
from relayhub.dialects.openai_chat.parts import NAME
from relayhub.dialects.openai_chat.reply import decode_reply, encode_reply
from relayhub.dialects.openai_chat.request import decode_request
from relayhub.dialects.openai_chat.request_writer import encode_request
from relayhub.dialects.openai_chat.stream_decoder import ChatStreamDecoder
from relayhub.dialects.openai_chat.stream_encoder import ChatStreamEncoder
from relayhub.dialects.outline import LONG, read_request
from relayhub.dialects.upstream_errors import decode_error
from relayhub.types.chat import ChatReply, ChatRequest
from relayhub.types.errors import RelayhubError, UpstreamError
from relayhub.types.http import HttpReply

COMMENT = b": keep-alive\n\n"


class OpenAIChat:
    """``POST /v1/chat/completions``; see :class:`relayhub.dialects.codec.ChatDialect`. Holds no state."""

    name: str = NAME
    keep_alive: bytes | None = COMMENT

    def envelope(self, body: bytes, *, model: str | None = None, framing: Framing | None = None) -> Envelope:
        return read_request(body, read_envelope) if len(body) >= LONG else read_envelope(parse_object(body))

    def decode_request(self, body: bytes, envelope: Envelope) -> ChatRequest:
        return decode_request(body)

    def encode_reply(self, reply: ChatReply, view: ClientView) -> bytes:
        return encode_reply(reply, view)

    def stream_encoder(self, view: ClientView) -> StreamEncoder:
        return ChatStreamEncoder(view)

    def encode_error_event(self, error: RelayhubError, request_id: str, envelope: Envelope) -> bytes:
        return encode_error_event(error, request_id)

    def encode_request(self, request: ChatRequest, *, model: str) -> EncodedRequest:
        return encode_request(request, model=model)

    def decode_reply(self, body: bytes) -> ChatReply:
        return decode_reply(body)

    def stream_decoder(self) -> StreamDecoder:
        return ChatStreamDecoder()

    def decode_error(self, reply: HttpReply) -> UpstreamError:
        return decode_error(reply)

    def native_request(self, body: bytes, *, model: str, envelope: Envelope) -> bytes:
        unasked = envelope.include_usage or not (envelope.stream or envelope.has_stream_options)
        if unasked and envelope.as_is and model == envelope.model:
            return body  # as below, and as most
        mended = body if envelope.as_is else normalised(body, envelope.cuts)
        if mended is not body:
            envelope = replace(envelope, cuts=())
        return native_request(mended, model, envelope)

    native_reply = staticmethod(native_reply)

    def native_stream(self, view: ClientView) -> NativeStream:
        return ChatNativeStream(view.rename_to, view.envelope.include_usage)

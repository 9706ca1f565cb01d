"""The dialect as one object."""

from __future__ import annotations

from relayhub.dialects.codec import Envelope, NativeStream, StreamDecoder, StreamEncoder
from relayhub.dialects.jsontext import parse_object
from relayhub.dialects.openai_chat.envelope import read_envelope
from relayhub.dialects.openai_chat.errors import encode_error_event
from relayhub.dialects.openai_chat.native import native_reply, native_request
from relayhub.dialects.openai_chat.native_stream import ChatNativeStream
from relayhub.dialects.openai_chat.parts import NAME
from relayhub.dialects.openai_chat.reply import decode_reply, encode_reply
from relayhub.dialects.openai_chat.request import decode_request, encode_request
from relayhub.dialects.openai_chat.stream_decoder import ChatStreamDecoder
from relayhub.dialects.openai_chat.stream_encoder import ChatStreamEncoder
from relayhub.dialects.openai_chat.upstream_errors import decode_error
from relayhub.types.chat import ChatReply, ChatRequest
from relayhub.types.errors import RelayhubError, UpstreamError
from relayhub.types.http import HttpReply
from relayhub.types.usage import Usage


class OpenAIChat:
    """``POST /v1/chat/completions``; see :class:`relayhub.dialects.codec.ChatDialect`. Holds no state."""

    name: str = NAME

    def envelope(self, body: bytes) -> Envelope:
        return read_envelope(parse_object(body))

    def decode_request(self, body: bytes) -> ChatRequest:
        return decode_request(body)

    def encode_reply(self, reply: ChatReply) -> bytes:
        return encode_reply(reply)

    def stream_encoder(self, *, model: str, include_usage: bool) -> StreamEncoder:
        return ChatStreamEncoder(model=model, include_usage=include_usage)

    def encode_error_event(self, error: RelayhubError, request_id: str) -> bytes:
        return encode_error_event(error, request_id)

    def encode_request(self, request: ChatRequest, *, model: str) -> bytes:
        return encode_request(request, model=model)

    def decode_reply(self, body: bytes) -> ChatReply:
        return decode_reply(body)

    def stream_decoder(self) -> StreamDecoder:
        return ChatStreamDecoder()

    def decode_error(self, reply: HttpReply) -> UpstreamError:
        return decode_error(reply)

    def native_request(self, body: bytes, *, model: str, envelope: Envelope) -> bytes:
        return native_request(body, model=model, envelope=envelope)

    def native_reply(self, body: bytes, *, rename_to: str | None) -> tuple[bytes, Usage | None]:
        return native_reply(body, rename_to=rename_to)

    def native_stream(self, *, rename_to: str | None, include_usage: bool) -> NativeStream:
        return ChatNativeStream(rename_to=rename_to, include_usage=include_usage)

"""The dialect as one object."""

from __future__ import annotations

from relayhub.dialects.codec import (
    ClientView,
    EncodedRequest,
    Envelope,
    Framing,
    NativeStream,
    StreamDecoder,
    StreamEncoder,
)
from relayhub.dialects.openai_responses.envelope import read_envelope
from relayhub.dialects.openai_responses.errors import encode_error_event
from relayhub.dialects.openai_responses.kept import NAME
from relayhub.dialects.openai_responses.native import ResponsesTap, native_reply, native_request
from relayhub.dialects.openai_responses.reply import decode_reply, encode_reply
from relayhub.dialects.openai_responses.request import decode_request
from relayhub.dialects.openai_responses.request_writer import encode_request
from relayhub.dialects.openai_responses.stream_decoder import ResponsesStreamDecoder
from relayhub.dialects.openai_responses.stream_encoder import ResponsesStreamEncoder
from relayhub.dialects.outline import read_request
from relayhub.dialects.upstream_errors import decode_error
from relayhub.types.chat import ChatReply, ChatRequest
from relayhub.types.errors import RelayhubError, UpstreamError
from relayhub.types.http import HttpReply
from relayhub.types.usage import Usage


class OpenAIResponses:
    """``POST /v1/responses``; see :class:`relayhub.dialects.codec.ChatDialect`. Holds no state."""

    name: str = NAME
    keep_alive: bytes | None = b": keep-alive\n\n"

    def envelope(self, body: bytes, *, model: str | None = None, framing: Framing | None = None) -> Envelope:
        return read_request(body, read_envelope)

    def decode_request(self, body: bytes, envelope: Envelope) -> ChatRequest:
        return decode_request(body)

    def encode_reply(self, reply: ChatReply, view: ClientView) -> bytes:
        return encode_reply(reply, view)

    def stream_encoder(self, view: ClientView) -> StreamEncoder:
        return ResponsesStreamEncoder(view)

    def encode_error_event(self, error: RelayhubError, request_id: str, envelope: Envelope) -> bytes:
        return encode_error_event(error, request_id, envelope.model)

    def encode_request(self, request: ChatRequest, *, model: str) -> EncodedRequest:
        return encode_request(request, model=model)

    def decode_reply(self, body: bytes) -> ChatReply:
        return decode_reply(body)

    def stream_decoder(self) -> StreamDecoder:
        return ResponsesStreamDecoder()

    def decode_error(self, reply: HttpReply) -> UpstreamError:
        return decode_error(reply)

    def native_request(self, body: bytes, *, model: str, envelope: Envelope) -> bytes:
        return native_request(body, model=model, envelope=envelope)

    def native_reply(self, body: bytes, view: ClientView) -> tuple[bytes, Usage | None]:
        return native_reply(body, rename_to=view.rename_to)

    def native_stream(self, view: ClientView) -> NativeStream:
        return ResponsesTap(rename_to=view.rename_to)

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
from relayhub.dialects.gemini_generate.envelope import read_envelope
from relayhub.dialects.gemini_generate.errors import encode_error_event
from relayhub.dialects.gemini_generate.names import NAME
from relayhub.dialects.gemini_generate.native import native_reply, native_request
from relayhub.dialects.gemini_generate.native_stream import GeminiNativeStream
from relayhub.dialects.gemini_generate.reply import decode_reply, encode_reply
from relayhub.dialects.gemini_generate.request import decode_request, encode_own_request
from relayhub.dialects.gemini_generate.stream_decoder import GeminiStreamDecoder
from relayhub.dialects.gemini_generate.stream_encoder import GeminiStreamEncoder
from relayhub.dialects.gemini_generate.target import GeminiTarget
from relayhub.dialects.gemini_generate.translation import encode_foreign_request
from relayhub.dialects.gemini_generate.upstream_errors import decode_error
from relayhub.dialects.outline import read_request
from relayhub.types.chat import ChatReply, ChatRequest
from relayhub.types.errors import RelayhubError, UpstreamError
from relayhub.types.http import HttpReply
from relayhub.types.usage import Usage


class GeminiGenerate:
    """``POST …/models/{model}:generateContent`` and ``:streamGenerateContent``; see
    :class:`relayhub.dialects.codec.ChatDialect`. Holds no state."""

    name: str = NAME
    keep_alive: bytes | None = None

    def envelope(self, body: bytes, *, model: str | None = None, framing: Framing | None = None) -> Envelope:
        return read_request(body, lambda request: read_envelope(request, model, framing))

    def decode_request(self, body: bytes, envelope: Envelope) -> ChatRequest:
        return decode_request(body, envelope)

    def encode_reply(self, reply: ChatReply, view: ClientView) -> bytes:
        return encode_reply(reply, view)

    def stream_encoder(self, view: ClientView) -> StreamEncoder:
        return GeminiStreamEncoder(view)

    def encode_error_event(self, error: RelayhubError, request_id: str, envelope: Envelope) -> bytes:
        return encode_error_event(error, request_id, envelope)

    def encode_request(self, request: ChatRequest, *, model: str, target: GeminiTarget) -> EncodedRequest:
        """``model`` goes into the path, so it is not in the body. Raises ``ClientError`` for what this dialect cannot
        say."""
        if request.dialect == NAME:
            return encode_own_request(request)
        return encode_foreign_request(request, target=target)

    def decode_reply(self, body: bytes) -> ChatReply:
        return decode_reply(body)

    def stream_decoder(self) -> StreamDecoder:
        return GeminiStreamDecoder()

    def decode_error(self, reply: HttpReply) -> UpstreamError:
        return decode_error(reply)

    def native_request(self, body: bytes, *, model: str, envelope: Envelope) -> bytes:
        return native_request(body, model=model, cuts=envelope.cuts)

    def native_reply(self, body: bytes, view: ClientView) -> tuple[bytes, Usage | None]:
        return native_reply(body, view)

    def native_stream(self, view: ClientView) -> NativeStream:
        return GeminiNativeStream(view)

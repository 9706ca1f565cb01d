"""What a chat dialect must offer. One codec per dialect serves both sides: clients (ingress) and upstreams (wires)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import msgspec

from relayhub.types.chat import ChatEvent, ChatReply, ChatRequest, ImageForm
from relayhub.types.errors import RelayhubError
from relayhub.types.usage import Usage


class Framing(StrEnum):
    """How a streamed answer is cut into pieces."""

    SSE = "sse"
    ARRAY = "array"
    """One JSON array that grows, element by element (Gemini without ``alt=sse``)."""


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """The few fields of a request that relaying it needs, read without decoding the rest. Only values: what is put into it
    must never lead back to it (``gc=False``).

    ``output_cap``: the client's own limit on output tokens; ``user``: who the client says its user is. Where the model
    and the wish for a stream stand in the path, they come from there. ``text_bytes``: what a model reads as text, where
    that is not simply the whole body; ``media_tokens``: for the hold, what the rest of it may amount to. ``as_is``: it was
    looked through, and an upstream of the same dialect takes it as it is, but for the model's name and stream options.
    """

    model: str
    stream: bool
    include_usage: bool
    output_cap: int | None
    choices: int
    user: str | None
    framing: Framing = Framing.SSE
    text_bytes: int | None = None
    media_tokens: int = 0
    as_is: bool = False
    has_stream_options: bool = True
    """``False``: certainly not."""
    cuts: tuple[tuple[int, int], ...] = ()
    """Of the body; see :data:`relayhub.dialects.outline.Cuts`."""


class ClientView(msgspec.Struct, frozen=True):
    """How the client wants to see its answer.

    ``model``: the public name that it sees; ``upstream_model``: the upstream's. ``call_id`` and ``created`` (unix
    seconds): for ids and times that the upstream's dialect has no field for. ``input_estimate``: tokens of the request,
    for dialects that announce them before the upstream has counted. Both may be 0 in the byte lane, where answers have their
    own: they are on a :class:`relayhub.gateway.steady.SteadyWay`. ``request``: as decoded; ``None`` in the byte lane.
    """

    envelope: Envelope
    model: str
    upstream_model: str
    call_id: str = ""
    created: int = 0
    input_estimate: int = 0
    image_form: ImageForm = ImageForm.INLINE
    request: ChatRequest | None = None

    @property
    def rename_to(self) -> str | None:
        """The byte lane's other name for the model; ``None`` where both are the same."""
        return None if self.model == self.upstream_model else self.model


@dataclass(frozen=True, slots=True)
class EncodedRequest:
    """A body for an upstream. ``dropped``: fields that the dialect cannot say and that do not change the meaning, by the
    names the client knows them under, each once."""

    body: bytes
    dropped: tuple[str, ...] = ()


class StreamDecoder(Protocol):
    """Upstream bytes → events. Any split of the same bytes gives the same events."""

    def feed(self, data: bytes) -> Sequence[ChatEvent]:
        """Raises :class:`UpstreamError` for the upstream's in-band error event and for an unusable stream."""
        ...

    def close(self) -> Sequence[ChatEvent]:
        """The body ended cleanly. Raises :class:`UpstreamError` if the answer was not complete (truncation)."""
        ...


class StreamEncoder(Protocol):
    """Events → client bytes, whole SSE frames only."""

    def encode(self, events: Iterable[ChatEvent]) -> bytes:
        """Never writes the terminal event: that waits for the settlement."""
        ...

    def finish(self) -> bytes:
        """The closing frames (usage where asked for, then the terminal event). Call once, after a real end."""
        ...


class NativeStream(Protocol):
    """The tap of the byte lane: frames pass through, only what must change is spliced.

    ``started``: a data event (not a comment) has been seen. ``delivered_chars``: characters of model output let through
    so far, the base of an estimate when the upstream never reports usage.
    """

    started: bool
    usage: Usage | None
    delivered_chars: int

    def feed(self, data: bytes) -> bytes:
        """Bytes ready for the client: whole frames, without the terminal one. Raises :class:`UpstreamError` on an error
        event and on a line over the cap."""
        ...

    @property
    def ended(self) -> bool:
        """The terminal event has been seen; nothing after it matters."""
        ...

    def finish(self) -> bytes:
        """Terminal bytes, after :attr:`ended` or a clean end of body. Raises :class:`UpstreamError` on truncation."""
        ...


class ClientDialect(Protocol):
    """A chat dialect as clients speak it: all that serving them by translation takes."""

    @property
    def keep_alive(self) -> bytes | None:
        """What may be sent while there is nothing to say; ``None`` where clients break on it."""
        ...

    def envelope(self, body: bytes, *, model: str | None = None, framing: Framing | None = None) -> Envelope:
        """``model`` and ``framing`` (``None``: not streamed) only where the dialect has them in the path. Raises
        ``ClientError``."""
        ...

    def decode_request(self, body: bytes, envelope: Envelope) -> ChatRequest:
        """Raises ``ClientError`` naming the field."""
        ...

    def encode_reply(self, reply: ChatReply, view: ClientView) -> bytes: ...
    def stream_encoder(self, view: ClientView) -> StreamEncoder: ...
    def encode_error_event(self, error: RelayhubError, request_id: str, envelope: Envelope) -> bytes:
        """The error of an answer whose head has been sent; nothing comes after it."""
        ...


class ChatDialect(ClientDialect, Protocol):
    """A chat dialect as the hub uses it: towards clients, and for bytes that pass through.

    Its other half, towards upstreams, is used by wires: ``encode_request(request, *, model, …) -> EncodedRequest``,
    ``decode_reply``, ``stream_decoder`` and ``decode_error(reply) -> UpstreamError``; each codec says what it takes.
    """

    name: str

    # the byte lane
    def native_request(self, body: bytes, *, model: str, envelope: Envelope) -> bytes:
        """The client's body with the upstream's model name and usage asked for; everything else stays as it is."""
        ...

    def native_reply(self, body: bytes, view: ClientView) -> tuple[bytes, Usage | None]: ...
    def native_stream(self, view: ClientView) -> NativeStream: ...

    # reading answers of the same dialect
    def decode_reply(self, body: bytes) -> ChatReply: ...
    def stream_decoder(self) -> StreamDecoder: ...

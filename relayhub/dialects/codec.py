"""What a chat dialect must offer. One codec per dialect serves both sides: clients (ingress) and upstreams (wires)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from relayhub.types.chat import ChatEvent, ChatReply, ChatRequest
from relayhub.types.errors import RelayhubError, UpstreamError
from relayhub.types.http import HttpReply
from relayhub.types.usage import Usage


@dataclass(frozen=True, slots=True)
class Envelope:
    """The few fields of a request that relaying it needs, read without decoding the rest.

    ``output_cap``: the client's own limit on output tokens; ``user``: who the client says its user is.
    """

    model: str
    stream: bool
    include_usage: bool
    output_cap: int | None
    choices: int
    user: str | None


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


class ChatDialect(Protocol):
    """A chat dialect, both sides."""

    name: str

    # the client's side
    def envelope(self, body: bytes) -> Envelope: ...
    def decode_request(self, body: bytes) -> ChatRequest: ...
    def encode_reply(self, reply: ChatReply) -> bytes: ...
    def stream_encoder(self, *, model: str, include_usage: bool) -> StreamEncoder: ...
    def encode_error_event(self, error: RelayhubError, request_id: str) -> bytes: ...

    # the upstream's side
    def encode_request(self, request: ChatRequest, *, model: str) -> bytes: ...
    def decode_reply(self, body: bytes) -> ChatReply: ...
    def stream_decoder(self) -> StreamDecoder: ...
    def decode_error(self, reply: HttpReply) -> UpstreamError: ...

    # the byte lane
    def native_request(self, body: bytes, *, model: str, envelope: Envelope) -> bytes:
        """The client's body with the upstream's model name and usage asked for; everything else stays as it is."""
        ...

    def native_reply(self, body: bytes, *, rename_to: str | None) -> tuple[bytes, Usage | None]: ...
    def native_stream(self, *, rename_to: str | None, include_usage: bool) -> NativeStream: ...

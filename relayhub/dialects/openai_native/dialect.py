"""What a dialect offers that is never translated. Requests are understood by each module's ``read_envelope``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from relayhub.dialects.codec import ClientView, Envelope, NativeStream
from relayhub.types.http import Body, HttpReply
from relayhub.types.usage import Usage

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class NativeAnswer:
    """A whole answer for the client. ``usage``: ``None`` where the upstream did not say it; ``chars``: characters that the
    model wrote, for an estimate then."""

    body: bytes
    usage: Usage | None
    chars: int = 0
    content_type: str = JSON


class NativeDialect(Protocol):
    """A dialect whose bytes pass through. Holds no state."""

    name: str

    def native_request(self, body: Body, *, model: str, envelope: Envelope) -> Body:
        """The client's body with the upstream's model name; everything else stays as it is."""
        ...

    def native_reply(self, reply: HttpReply, view: ClientView) -> NativeAnswer:
        """Raises ``UpstreamError`` for an error object and for what is no answer to such a request."""
        ...

    def native_stream(self, headers: Mapping[str, str], view: ClientView) -> NativeStream:
        """``headers``: of the upstream's answer, names lower case."""
        ...

"""Client dialects of a plugin's own. Provisional: what is here may change with any release."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from relayhub.dialects.codec import ClientDialect
from relayhub.sdk.provider import SDK_VERSION
from relayhub.types.errors import RelayhubError


class ClientCodec(ClientDialect, Protocol):
    """A chat dialect towards clients: their bytes to the hub's words, and back. Stateless, but for the stream encoders that
    it makes. Whatever it raises but ``ClientError`` and ``UpstreamError`` is told as the hub's own error 500."""

    def encode_error(self, error: RelayhubError, request_id: str) -> bytes:
        """The body of an error before anything else was sent. Status and ``retry-after`` are the hub's."""
        ...


@dataclass(frozen=True, slots=True)
class IngressType:
    """A way in for clients: chat in a language of their own, served by every provider that serves chat.

    ``name``: of the dialect, as usage rows have it: ``acme.chat``. ``paths``: below ``server.base_path``, for POST; a
    ``{model}`` in one is handed to ``codec.envelope``. A path that the hub serves itself stays the hub's.
    """

    name: str
    paths: Sequence[str]
    codec: ClientCodec
    summary: str
    sdk: int = SDK_VERSION

"""One call, and the client side of it as the pipeline sees them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from relayhub.dialects.codec import Envelope
from relayhub.types.call import Dialect, Operation, Principal


@dataclass(frozen=True, slots=True)
class Call:
    """What a client asked for. ``received_at`` is monotonic seconds; ``body`` has passed the strict JSON check;
    ``client`` is the client's address, for the log."""

    id: str
    principal: Principal
    operation: Operation
    dialect: Dialect
    body: bytes
    envelope: Envelope
    received_at: float
    client: str = ""


class Client(Protocol):
    """Where an answer goes. The implementation owns the response head, keep-alive comments and back-pressure."""

    async def reply(self, body: bytes) -> None:
        """A whole answer, status 200."""
        ...

    async def write(self, frames: bytes) -> None:
        """Whole SSE frames; the first call sends the head. Returns when the client keeps up. Raises ``ClientLeft``."""
        ...

    async def end(self, frames: bytes) -> None:
        """The terminal frames, and the end of the body."""
        ...

    @property
    def status(self) -> int | None:
        """What the client was told, once it was told."""
        ...


class ClientLeft(Exception):
    """The client's connection is gone (aiohttp's own sign is the cancellation of the handler)."""

"""One call, and the client side of it as the pipeline sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from relayhub.dialects.codec import Envelope
from relayhub.sdk.ordering import CallView
from relayhub.types.call import Operation, Principal
from relayhub.types.http import Body


class Call(msgspec.Struct, frozen=True, gc=False):
    """What a client asked for. ``gc=False``, as for all that is made for every call and holds nothing but values: what is put
    into it must never lead back to it, for such a cycle is never freed.

    ``dialect`` is a ``Dialect``, or the name of a plugin's. ``received_at`` is monotonic seconds: when its body was
    there, on the framework's way when it had just been read; ``body``, where it is bytes, has passed the strict JSON check;
    ``client`` is the client's address, for the log. ``provider``: the only one
    that may serve it, by its configured name or its type. ``headers``: the client's headers that belong to the dialect,
    names lower case.
    """

    id: str
    principal: Principal
    operation: Operation
    dialect: str
    body: Body
    envelope: Envelope
    received_at: float
    client: str = ""
    provider: str | None = None
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)

    def view(self, model: str) -> CallView:
        """For plugins. ``model``: as it is listed."""
        who, envelope = self.principal, self.envelope
        return CallView(
            call_id=self.id,
            key_id=who.key_id,
            key_name=who.key_name,
            account_id=who.account_id,
            operation=self.operation.value,
            dialect=str(self.dialect),
            model=model,
            stream=envelope.stream,
            user=envelope.user,
        )

    def size(self) -> int:
        """Bytes of the request that a model reads as text."""
        text_bytes, body = self.envelope.text_bytes, self.body
        if text_bytes is not None:
            return text_bytes
        return len(body) if isinstance(body, bytes) else sum(map(len, body))


class Client(Protocol):
    """Where an answer goes. The implementation owns the response head, keep-alive comments and back-pressure."""

    def note_dropped(self, names: Sequence[str]) -> None:
        """Fields of the request that the upstream was not told; shown with the head, the last call counts."""
        ...

    async def reply(self, body: bytes, content_type: str) -> None:
        """A whole answer, status 200."""
        ...

    def push(self, frames: bytes) -> bool:
        """Whole SSE frames, if that needs no waiting. ``False``: nothing was written, and :meth:`write` is needed."""
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


class DirectClient(Client, Protocol):
    """A client that can be given an answer's end in one turn of the loop."""

    def give(self, body: bytes, content_type: str) -> None:
        """As ``reply``, without waiting for the client to take it. Raises ``ClientLeft``."""
        ...

    def give_end(self, frames: bytes) -> None:
        """As ``end``, in the same way."""
        ...


class ClientLeft(Exception):
    """The client's connection is gone (aiohttp's own sign is the cancellation of the handler)."""

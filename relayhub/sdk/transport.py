"""The seam behind which all outbound HTTP happens. Plugins may bring their own (demo answers from memory)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from relayhub.types.http import Deadlines, HttpRequest


class UpstreamReply(Protocol):
    """An answer whose head has come and whose body is still arriving. Header names are lower case."""

    status: int
    headers: Mapping[str, str]

    def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body as it arrives; pulling is the back-pressure. Raises ``UpstreamError`` on a broken, silent (idle
        deadline) or overlong (total deadline) body. Use under ``aclosing``."""
        ...


class Transport(Protocol):
    """Sends requests to one provider's upstream."""

    def send(self, request: HttpRequest, deadlines: Deadlines) -> AbstractAsyncContextManager[UpstreamReply]:
        """Entering waits for the head of the answer. Raises ``UpstreamError`` with ``delivered=False`` where the
        request certainly never left, ``True`` where it may have. Leaving releases the connection: kept alive if the body was
        read to its end, dropped at once otherwise. Cancellation drops it too."""
        ...

    async def close(self) -> None:
        """Drop all connections. Idempotent."""
        ...

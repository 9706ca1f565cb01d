"""Transports that can be put out of use while calls are still under way on them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol, runtime_checkable

from relayhub.sdk.transport import Transport, UpstreamReply
from relayhub.types.http import Deadlines, HttpRequest


@runtime_checkable
class RetirableTransport(Transport, Protocol):
    async def retire(self) -> None:
        """Nothing new is meant to come: what is idle is closed now, what is busy when it has ended. A call that began
        before may still send, and leaves nothing open behind it. Idempotent."""
        ...


class Retiring:
    """Any other transport, made retirable: closed when it is retired and nothing is under way on it."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self._busy = 0
        self._retired = False

    def send(self, request: HttpRequest, deadlines: Deadlines) -> AbstractAsyncContextManager[UpstreamReply]:
        """See :meth:`relayhub.sdk.Transport.send`."""
        return self._sending(request, deadlines)

    @asynccontextmanager
    async def _sending(self, request: HttpRequest, deadlines: Deadlines) -> AsyncIterator[UpstreamReply]:
        self._busy += 1
        try:
            async with self._inner.send(request, deadlines) as reply:
                yield reply
        finally:
            self._busy -= 1
            await self._close_if_over()

    async def retire(self) -> None:
        self._retired = True
        await self._close_if_over()

    async def _close_if_over(self) -> None:
        if self._retired and not self._busy:
            await self._inner.close()

    async def close(self) -> None:
        """See :meth:`relayhub.sdk.Transport.close`."""
        await self._inner.close()

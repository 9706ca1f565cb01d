"""The deadlines of calls over a transport that a plugin has brought, which may know none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager

from relayhub.sdk.transport import Transport, UpstreamReply
from relayhub.types.http import Deadlines, HttpRequest
from relayhub.upstream.faults import too_slow


class TimedTransport:
    """A :class:`Transport` none of whose waits is without a limit."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner

    @asynccontextmanager
    async def send(self, request: HttpRequest, deadlines: Deadlines) -> AsyncIterator[UpstreamReply]:
        ends_at = asyncio.get_running_loop().time() + deadlines.total_s
        exchange = self._inner.send(request, deadlines)
        try:
            async with asyncio.timeout(min(deadlines.first_byte_s, deadlines.total_s)):
                reply = await exchange.__aenter__()
        except TimeoutError as error:
            raise too_slow("answer", deadlines.first_byte_s) from error
        try:
            yield _TimedReply(reply, deadlines, ends_at)
        finally:
            async with asyncio.timeout(deadlines.idle_s):
                await exchange.__aexit__(None, None, None)

    async def close(self) -> None:
        await self._inner.close()


class _TimedReply:
    """``ends_at``: by the loop's clock."""

    def __init__(self, reply: UpstreamReply, deadlines: Deadlines, ends_at: float) -> None:
        self.status: int = reply.status
        self.headers: Mapping[str, str] = reply.headers
        self._reply = reply
        self._deadlines = deadlines
        self._ends_at = ends_at

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        loop = asyncio.get_running_loop()
        async with aclosing(self._reply.chunks()) as chunks:
            while True:
                limit_at = min(loop.time() + self._deadlines.idle_s, self._ends_at)
                try:
                    async with asyncio.timeout_at(limit_at):
                        data = await anext(chunks, None)
                except TimeoutError as error:
                    raise self._late(whole=limit_at == self._ends_at) from error
                if data is None:
                    return
                yield data

    def _late(self, *, whole: bool) -> Exception:
        """``whole``: it is the time for all of it that is over. (A timer may ring a little before its time.)"""
        if whole:
            return too_slow("complete answer", self._deadlines.total_s)
        return too_slow("further data", self._deadlines.idle_s)

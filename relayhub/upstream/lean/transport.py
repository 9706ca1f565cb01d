"""The seam: a provider's transport on the lean client."""

from __future__ import annotations

import asyncio
from functools import lru_cache
from types import TracebackType

from relayhub.types.http import Deadlines, Effect, HttpRequest
from relayhub.upstream import faults
from relayhub.upstream.lean.dial import Dialler
from relayhub.upstream.lean.outgoing import Target, request_head, target_of
from relayhub.upstream.lean.pool import Pool
from relayhub.upstream.lean.reply import LeanReply
from relayhub.upstream.lean.resolver import Resolver
from relayhub.upstream.options import NetworkOptions

KEPT_TARGETS = 256
"""Addresses whose parts are remembered: a provider has a few for each model."""


class LeanTransport:
    """A :class:`relayhub.sdk.Transport`, straight to the upstream. One per provider: its pool, its authorities."""

    def __init__(self, options: NetworkOptions, user_agent: str, resolver: Resolver | None = None) -> None:
        self._defaults = {"user-agent": user_agent, "accept-encoding": "identity"}
        self.pool = Pool(Dialler(options.ca_file, resolver or Resolver()), options.max_connections)
        self._target = lru_cache(KEPT_TARGETS)(target_of)

    def send(self, request: HttpRequest, deadlines: Deadlines) -> Sending:
        """See :meth:`relayhub.sdk.Transport.send`."""
        return Sending(self, request, deadlines)

    async def open(self, request: HttpRequest, deadlines: Deadlines) -> LeanReply:
        """Until the head of the answer has come. The caller ends it with ``leave`` or ``abort``."""
        target, head = self._written(request)
        ends_at = asyncio.get_running_loop().time() + deadlines.total_s
        connection = self.pool.take(target.origin)
        repeatable = request.effect is Effect.NONE
        while True:
            if connection is None:
                connection = await self.pool.connect(target.origin, deadlines.connect_s)
            reply = LeanReply(connection, request.method, deadlines, ends_at, self.pool.release)
            try:
                await reply.exchange(head, request.body)
            except BaseException:
                reply.abort()
                if not (repeatable and reply.stale):
                    raise
                connection, repeatable = None, False
            else:
                return reply

    def _written(self, request: HttpRequest) -> tuple[Target, bytes]:
        body = request.body
        size = len(body) if isinstance(body, bytes) else sum(map(len, body))
        try:
            target = self._target(request.url)
            return target, request_head(request.method, target, request.headers, self._defaults, size)
        except ValueError as error:
            raise faults.not_sendable(str(error)) from error

    async def close(self) -> None:
        """See :meth:`relayhub.sdk.Transport.close`."""
        self.pool.close()


class Sending:
    """One exchange as a context."""

    __slots__ = ("_deadlines", "_reply", "_request", "_transport")
    _reply: LeanReply

    def __init__(self, transport: LeanTransport, request: HttpRequest, deadlines: Deadlines) -> None:
        self._transport = transport
        self._request = request
        self._deadlines = deadlines

    async def __aenter__(self) -> LeanReply:
        self._reply = await self._transport.open(self._request, self._deadlines)
        return self._reply

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self._reply.leave()
        else:
            self._reply.abort()

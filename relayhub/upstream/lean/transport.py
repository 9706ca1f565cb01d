"""The seam: a provider's transport on the lean client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import TracebackType
from typing import Protocol

import msgspec

from relayhub.types.errors import UpstreamError
from relayhub.types.http import Body, Deadlines, Effect, HttpRequest
from relayhub.upstream import faults
from relayhub.upstream.lean.brief import Brief, WholeListener
from relayhub.upstream.lean.dial import Dialler
from relayhub.upstream.lean.outgoing import Origin, Target, head_start, target_of, with_body, with_size
from relayhub.upstream.lean.pool import Pool
from relayhub.upstream.lean.reply import BURST, JOINED, LeanReply, Listener
from relayhub.upstream.lean.resolver import Resolver
from relayhub.upstream.options import NetworkOptions

KEPT_HEADS = 256
"""Heads that are remembered but for their length: a provider has a few for each model."""


def _nobody() -> None:
    """Who does not want to know."""


class Prepared(msgspec.Struct, frozen=True):
    """A request that will be sent again and again with another body. ``start``: its head up to the length. ``at_once``: as
    long a body is sent in one piece, without a task; negative: not even an empty one, as the request may be repeated."""

    method: str
    origin: Origin
    start: bytes
    effect: Effect
    at_once: int


class Begun(Protocol):
    """An exchange that was begun for a listener."""

    @property
    def sent(self) -> bool:
        """Something of the request may have reached the upstream: it has a connection."""
        ...

    def abort(self) -> None:
        """Give it up, whatever it has come to; the listener and its sink hear nothing more. Idempotent."""
        ...


class LeanTransport:
    """A :class:`relayhub.sdk.Transport`, straight to the upstream. One per provider: its pool, its authorities."""

    def __init__(self, options: NetworkOptions, user_agent: str, resolver: Resolver | None = None) -> None:
        self._defaults = {"user-agent": user_agent, "accept-encoding": "identity"}
        self.pool = Pool(Dialler(options.ca_file, resolver or Resolver()), options.max_connections)
        self._release = self.pool.release
        self._start = lru_cache(KEPT_HEADS)(self._started)

    def send(self, request: HttpRequest, deadlines: Deadlines) -> Sending:
        """See :meth:`relayhub.sdk.Transport.send`."""
        return Sending(self, request, deadlines)

    async def open(
        self, request: HttpRequest, deadlines: Deadlines, sending: Callable[[], None] = _nobody
    ) -> LeanReply:
        """Until the head of the answer has come. The caller ends it with ``leave`` or ``abort``. ``sending`` is called when
        there is a connection: until then nothing can have reached the upstream."""
        prepared = self.prepare(request.method, request.url, request.headers, request.effect)
        return await self.exchange(prepared, request.body, deadlines, sending)

    async def exchange(
        self, prepared: Prepared, body: Body, deadlines: Deadlines, sending: Callable[[], None] = _nobody
    ) -> LeanReply:
        """As :meth:`open`."""
        origin = prepared.origin
        head = with_size(prepared.start, prepared.method, len(body) if isinstance(body, bytes) else sum(map(len, body)))
        connection = self.pool.take(origin)
        ends_at = (connection.loop if connection else asyncio.get_running_loop()).time() + deadlines.total_s
        repeatable = prepared.effect is Effect.NONE
        while True:
            if connection is None:
                connection = await self.pool.connect(origin, deadlines.connect_s)
            sending()
            reply = LeanReply(connection, prepared.method, deadlines, ends_at, self._release)
            try:
                await reply.exchange(head, body)
            except BaseException:
                reply.abort()
                if not (repeatable and reply.stale):
                    raise
                connection, repeatable = None, False
            else:
                return reply

    def begin(self, prepared: Prepared, body: Body, deadlines: Deadlines, listener: Listener) -> Begun:
        """As :meth:`exchange`, but returns at once and tells ``listener`` what has come of it, never before this returns.
        With a short body no task waits for the answer; with a free connection there is none at all."""
        if not isinstance(body, bytes) or len(body) > prepared.at_once:
            return _Beginning(self, prepared, body, deadlines, listener)
        connection = self.pool.take(prepared.origin)
        if connection is None:
            return _Beginning(self, prepared, body, deadlines, listener, at_once=True)
        now = connection.loop.time()
        reply = LeanReply(connection, prepared.method, deadlines, now + deadlines.total_s, self._release)
        reply.begin(prepared.start, body, listener, now)
        return reply

    def ask(self, prepared: Prepared, body: bytes, deadlines: Deadlines, listener: WholeListener) -> Begun:
        """As :meth:`begin`, for an answer that is not streamed."""
        connection = None if len(body) > prepared.at_once else self.pool.take(prepared.origin)
        if connection is None:
            return self.begin(prepared, body, deadlines, listener)
        method, now = prepared.method, connection.loop.time()
        ends_at, due = now + deadlines.total_s, now + deadlines.first_byte_s
        brief = Brief(connection, method, deadlines, ends_at, self._release, listener)
        try:
            connection.exchange = brief
            connection.transport.write(with_body(prepared.start, method, body))
            connection.expect(due if due < ends_at else ends_at)
        except BaseException:
            brief.abort()
            raise
        return brief

    async def connect_and_write(
        self, prepared: Prepared, body: bytes, deadlines: Deadlines, listener: Listener
    ) -> LeanReply:
        """With a body that is sent at once. The reply tells ``listener``, never before this returns."""
        ends_at, origin = asyncio.get_running_loop().time() + deadlines.total_s, prepared.origin
        connection = self.pool.take(origin) or await self.pool.connect(origin, deadlines.connect_s)
        reply = LeanReply(connection, prepared.method, deadlines, ends_at, self._release)
        reply.begin(prepared.start, body, listener, connection.loop.time())
        return reply

    def prepare(self, method: str, url: str, headers: Mapping[str, str], effect: Effect) -> Prepared:
        """Raises ``UpstreamError`` for what cannot be said in HTTP."""
        try:
            target, start = self._start(method, url, tuple(headers.items()))
        except ValueError as error:
            raise faults.not_sendable(str(error)) from error
        at_once = JOINED if target.origin.tls else BURST
        return Prepared(method, target.origin, start, effect, -1 if effect is Effect.NONE else at_once)

    def _started(self, method: str, url: str, headers: tuple[tuple[str, str], ...]) -> tuple[Target, bytes]:
        target = target_of(url)
        return target, head_start(method, target, dict(headers), self._defaults)

    async def retire(self) -> None:
        """See :meth:`relayhub.upstream.retiring.RetirableTransport.retire`."""
        self.pool.retire()

    async def close(self) -> None:
        """See :meth:`relayhub.sdk.Transport.close`."""
        self.pool.close()


class _Beginning:
    """An exchange that has to wait before it can say anything: for a connection, or for room to write. ``at_once``: for
    nothing else."""

    __slots__ = ("_reply", "_task", "sent")

    def __init__(
        self,
        transport: LeanTransport,
        prepared: Prepared,
        body: Body,
        deadlines: Deadlines,
        listener: Listener,
        *,
        at_once: bool = False,
    ) -> None:
        self._reply: LeanReply | None = None
        self.sent = False
        work = self._run(transport, prepared, body, deadlines, listener, at_once)
        self._task: asyncio.Task[None] | None = asyncio.get_running_loop().create_task(work)

    async def _run(
        self,
        transport: LeanTransport,
        prepared: Prepared,
        body: Body,
        deadlines: Deadlines,
        listener: Listener,
        at_once: bool,
    ) -> None:
        try:
            if at_once and isinstance(body, bytes):
                self._reply = await transport.connect_and_write(prepared, body, deadlines, listener)
                self.sent = True
                return
            self._reply = await transport.exchange(prepared, body, deadlines, self._sending)
        except UpstreamError as error:
            listener.failed(error)
        except Exception as error:  # a defect of this client: nobody may wait for ever because of it
            listener.failed(faults.broke_off(repr(error)))
        else:
            listener.replied(self._reply)
        finally:
            self._task = None  # what ends it has this frame

    def _sending(self) -> None:
        self.sent = True

    def abort(self) -> None:
        if self._reply is not None:
            self._reply.abort()
        elif self._task is not None:
            self._task.cancel()


class Sending:
    """One exchange as a context. ``sending``: see :meth:`LeanTransport.open`."""

    __slots__ = ("_deadlines", "_reply", "_request", "_transport", "sending")
    _reply: LeanReply

    def __init__(self, transport: LeanTransport, request: HttpRequest, deadlines: Deadlines) -> None:
        self._transport = transport
        self._request = request
        self._deadlines = deadlines
        self.sending: Callable[[], None] = _nobody

    async def __aenter__(self) -> LeanReply:
        self._reply = await self._transport.open(self._request, self._deadlines, self.sending)
        return self._reply

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self._reply.leave()
        else:
            self._reply.abort()

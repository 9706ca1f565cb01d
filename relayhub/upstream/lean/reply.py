"""One exchange: the request on its way out, the answer on its way in, and a limit on every wait in between.

Two ways to use it. Awaited: :meth:`LeanReply.exchange`, then :meth:`LeanReply.chunks` or :meth:`LeanReply.push`. Without a
task: :meth:`LeanReply.begin` tells a :class:`Listener` when the head is there, and :meth:`LeanReply.pour` hands the body to
a :class:`relayhub.upstream.lean.sink.Sink`, both from the event loop itself, in the turn in which the bytes come.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Protocol

from relayhub.types.errors import UpstreamError, upstream_broke
from relayhub.types.http import Body, Deadlines, SpoolSlice
from relayhub.types.limits import MAX_INTERIM_ANSWERS, MAX_UPSTREAM_HEAD
from relayhub.upstream import faults
from relayhub.upstream.lean.connection import Connection
from relayhub.upstream.lean.framing import Broken, Framing, UntilClose
from relayhub.upstream.lean.head import Head
from relayhub.upstream.lean.inflate import Inflater
from relayhub.upstream.lean.outgoing import with_body
from relayhub.upstream.lean.sink import Express, Pushing, Sink, Take
from relayhub.upstream.payload import PIECE, pieces_of

JOINED = 64 << 10
"""Bytes of a body that are copied behind the head, to leave in one packet; above, a second write is cheaper."""

BURST = 2 << 20
"""Bytes of a body that are handed to the system at once. One call costs less than several; with TLS, where all would be
encrypted at once, :data:`PIECE` bytes."""

HELD = 64 << 10
"""Bytes of an answer that wait for a slow reader before the upstream is made to wait too."""

DRAIN_S = 0.25
"""After the reader has left in peace: how long the end of the framing may take, to keep the connection."""

DRAIN_BYTES = 64 << 10
"""More than this after the reader has left is not framing; the connection is dropped instead."""

Release = Callable[[Connection, "float | None"], None]


class Listener(Protocol):
    """Whoever has begun an exchange. Exactly one of the two is called, once, and neither after ``abort``."""

    def replied(self, reply: LeanReply) -> None:
        """The head of the answer is there, perhaps with a status that is an error, perhaps with the whole body: see
        ``at_hand``. The reply is the listener's now, to be ended with ``leave`` or ``abort``. Must not raise."""
        ...

    def failed(self, error: UpstreamError) -> None:
        """There will be no answer. Must not raise."""
        ...


class LeanReply:
    """A :class:`relayhub.sdk.UpstreamReply`, and what brings it about. ``status`` and ``headers`` are there once
    :meth:`exchange` has returned, or a listener was told.

    The connection is given back as soon as the answer is complete, and dropped as soon as it cannot become so.
    ``stale``: the connection had served before and ended without a byte of this answer.
    """

    __slots__ = (
        "_body",
        "_connection",
        "_deadlines",
        "_draining",
        "_ends_at",
        "_error",
        "_flows",
        "_halted",
        "_head",
        "_head_bytes",
        "_held",
        "_held_bytes",
        "_inflater",
        "_inflation",
        "_interim",
        "_listener",
        "_loop",
        "_method",
        "_offered",
        "_over",
        "_release",
        "_sent",
        "_sink",
        "_waiter",
        "headers",
        "stale",
        "status",
    )
    status: int
    headers: Mapping[str, str]

    def __init__(
        self, connection: Connection, method: str, deadlines: Deadlines, ends_at: float, release: Release
    ) -> None:
        self._connection = connection
        self._method = method
        self._deadlines = deadlines
        self._ends_at = ends_at
        self._release = release
        self._loop = connection.loop
        self._sent = False
        self._interim = 0
        self._head_bytes = b""
        self._head: Head | None = None
        self._body: Framing | None = None
        self._inflater: Inflater | None = None
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._over = False
        self._draining = False
        self._error: UpstreamError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._listener: Listener | None = None
        self._sink: Sink | None = None
        self._offered: Express | None = None
        """The connection's lane, while a chunk may begin and the sink takes."""
        self._flows = False
        """The sink takes what comes; else it is held, and no time runs."""
        self._inflation: asyncio.Task[None] | None = None
        self._halted = False
        """What is inflated waits for :meth:`more`."""
        self.stale = False

    # The request

    @property
    def sent(self) -> bool:
        """See :class:`relayhub.upstream.lean.transport.Begun`."""
        return True

    def begin(self, start: bytes, body: bytes, listener: Listener, now: float) -> None:
        """Send it all in one piece, with TLS at most :data:`JOINED` bytes and else :data:`BURST`, and return at once. The
        listener is never told before that. ``start``: of the head, up to the length; ``now``: in loop time. The connection
        is dropped where this raises."""
        connection = self._connection
        try:
            self._listener = listener
            connection.exchange = self
            self._sent = True
            connection.transport.write(with_body(start, self._method, body))
            due = now + self._deadlines.first_byte_s
            connection.expect(due if due < self._ends_at else self._ends_at)
        except BaseException:
            self.abort()
            raise

    def follow(self, listener: Listener) -> None:
        """Go on with an exchange whose request has been written, and of whose answer nothing was read."""
        if not self._connection.lost:  # else neither may keep the other
            self._connection.exchange = self
        self._listener, self._sent = listener, True

    async def exchange(self, head: bytes, body: Body) -> None:
        """Send it all and wait for the head of the answer, which may come before the request has gone out."""
        self._connection.exchange = self
        if isinstance(body, bytes) and len(body) <= JOINED:
            self._sent = True
            self._connection.transport.write(head + body)
        elif isinstance(body, bytes):
            await self._send_bytes(head, body)
        else:
            await self._send_pieces(head, body)
        while self._head is None and self._error is None:
            await self._wait(self._deadlines.first_byte_s)
        if self._error is not None and self._head is None:
            raise self._error

    async def _send_bytes(self, head: bytes, body: bytes) -> None:
        transport = self._connection.transport
        size = PIECE if self._connection.origin.tls else BURST
        whole = memoryview(body)
        transport.writelines((head, whole[:size]))
        await self._room()
        for start in range(size, len(body), size):
            if self._answered:
                return
            transport.write(whole[start : start + size])
            await self._room()
        self._sent = True

    async def _send_pieces(self, head: bytes, body: tuple[bytes | SpoolSlice, ...]) -> None:
        self._connection.transport.write(head)
        try:
            async with aclosing(pieces_of(body)) as pieces:
                async for piece in pieces:
                    if self._answered:
                        return
                    self._connection.transport.write(piece)
                    await self._room()
            self._sent = True
        except OSError as error:
            raise faults.upload_lost(repr(error)) from error

    async def _room(self) -> None:
        while self._connection.congested and not self._answered:
            await self._wait(self._deadlines.first_byte_s)

    @property
    def _answered(self) -> bool:
        return self._head is not None or self._error is not None

    # The answer, as the connection reports it

    def received(self, data: bytes) -> None:
        try:
            if self._body is None:
                self._read_head(data)
            else:
                self._read_body(self._body, data)
        except Broken as error:
            self._break(error)

    @property
    def _untouched(self) -> bool:
        """Not a byte has come. To be asked only while there is no head: what came so far is then either held as the beginning
        of one, or was counted as an interim answer."""
        return not (self._head_bytes or self._interim)

    def _read_head(self, data: bytes) -> None:
        if self._head_bytes:
            data, self._head_bytes = self._head_bytes + data, b""
        lines, empty, rest = data.partition(b"\r\n\r\n")
        if not empty or len(lines) > MAX_UPSTREAM_HEAD - len(empty):
            if len(data) > MAX_UPSTREAM_HEAD:
                raise Broken(f"the answer's head is larger than {MAX_UPSTREAM_HEAD} bytes")
            if not data.startswith(b"HTTP/1."[: len(data)]):
                raise Broken(f"the answer is not HTTP: {data[:80]!r}")
            self._head_bytes = data
            return
        head = self._connection.heads.read(lines + empty, self._method)
        if head.status < 200:
            self._pass_over(head, rest)
        else:
            self.begin_body(head, rest)

    def begin_body(self, head: Head, rest: bytes) -> None:
        """The answer begins with this head. ``rest``: what has come behind it."""
        framing = head.body
        try:
            if head.coding is not None and not framing.done:
                self._inflater = Inflater(head.coding)
        except Broken as error:
            self._break(error)
            return
        self.status, self.headers = head.status, head.headers
        self._head, self._body = head, framing
        try:
            if framing.done:
                self._complete(excess=bool(rest))
            elif rest:
                self._read_body(framing, rest)
        except Broken as error:
            self._break(error)
        self._tell_head()

    def _tell_head(self) -> None:
        """With what of the body, or of its failure, came along: whoever reads it finds it."""
        if self._listener is None:
            self._wake()
            return
        if not self._over:
            self._connection.expect(None)
        listener, self._listener = self._listener, None
        listener.replied(self)

    def _pass_over(self, head: Head, rest: bytes) -> None:
        """Something said before the answer. Nobody has asked to change the protocol."""
        self._interim += 1
        if head.status == 101 or self._interim > MAX_INTERIM_ANSWERS:
            raise Broken(f"the answer begins with status {head.status}, {self._interim} times")
        if rest:
            self._read_head(rest)

    def _read_body(self, framing: Framing, data: bytes) -> None:
        piece = framing.feed(data)
        if piece:
            if self._flows:
                self._connection.heard_at = self._loop.time()
                self._hand(piece)
            else:
                self._hold(piece)
        if framing.broken is not None:
            raise framing.broken
        if framing.done and not self._over:
            self._complete(framing.excess)
        if not self._over:
            self._connection.lane = self._offered if self._flows and framing.between_chunks else None

    def _hold(self, piece: bytes) -> None:
        self._held_bytes += len(piece)
        if self._draining:
            if self._held_bytes > DRAIN_BYTES:
                self.abort()
            return
        self._held.append(piece)
        if self._held_bytes > HELD:
            self._connection.pause()
        if self._waiter is not None:
            self._wake()

    def _hand(self, piece: bytes) -> bool:
        """Straight to the sink, in the turn of the loop in which it came. Whether that takes more."""
        sink = self._sink
        assert sink is not None
        try:
            more = sink.take(piece)
        except (Exception, SystemExit) as error:
            self._raised(sink, error)
            return False
        if self._sink is not sink:
            return False  # it has left
        if not more:
            self._flows = False
            body = self._body
            # Where the end has come along, the connection is about to be free: not to read it meanwhile would take two
            # system calls.
            if not (self._over or (body is not None and body.done)):
                self._connection.lane = None
                self._connection.pause()
                self._connection.expect(None)
        return more

    def _raised(self, sink: Sink, error: BaseException) -> None:
        self.abort()
        sink.failed(error)

    def ended(self, error: Exception | None) -> None:
        if self._over:
            return
        if self._head is None:
            self.stale = self._connection.reused and self._untouched
            self._fail(faults.broke_off(repr(error) if error else "the connection was closed"))
            return
        try:
            if error is not None:
                raise Broken(repr(error))
            self._head.body.end()
        except Broken as broken:
            self._break(broken)
        else:
            self._over = True
            self._tell_end()

    def overdue(self) -> None:
        due = min(self._connection.heard_at + self._deadlines.idle_s, self._ends_at) if self._flows else 0.0
        now = self._loop.time()
        if due > now:
            self._connection.expect(due)  # pieces that came meanwhile have put it off
        elif now >= self._ends_at:
            self._fail(faults.too_slow("complete answer", self._deadlines.total_s))
        elif self._head is None:
            self._fail(faults.too_slow("answer", self._deadlines.first_byte_s))
        else:
            self._fail(faults.too_slow("further data", self._deadlines.idle_s))

    def writable(self) -> None:
        self._wake()

    def _complete(self, excess: bool) -> None:
        """The whole answer is here, and the connection free for the next request if all went by the book."""
        head, connection = self._head, self._connection
        assert head is not None
        self._over = True
        if excess or not self._sent or connection.congested or not head.keep_alive:
            connection.drop()
        else:
            connection.detach()
            self._release(connection, head.idle_s)
        if self._waiter is not None or self._flows:
            self._tell_end()

    def _tell_end(self) -> None:
        """Whoever waits for it. A sink that wants nothing for now is told later."""
        if self._waiter is not None:
            self._wake()
        if self._flows and self._sink is not None:
            sink, self._sink, self._flows = self._sink, None, False
            if self._error is None:
                sink.ended()
            else:
                sink.failed(self._error)

    def _break(self, error: Broken) -> None:
        text = str(error)
        self._fail(
            upstream_broke("it is not valid HTTP", detail=text) if self._head is None else faults.truncated(text)
        )

    def _fail(self, error: UpstreamError) -> None:
        if self._over:
            return
        self._error = error
        self._drop()
        if self._head is None and self._listener is not None:
            listener, self._listener = self._listener, None
            listener.failed(error)
        else:
            self._tell_end()

    def abort(self) -> None:
        """Drop the connection unless the answer was complete before. Whoever listens or takes hears nothing more."""
        self._listener = self._sink = None
        self._flows = False
        self._stop_inflation()
        self._drop()
        self._wake()

    def _drop(self) -> None:
        if not self._over:
            self._over = True
            self._connection.drop()

    # The reader

    async def _wait(self, limit_s: float) -> None:
        """Until something has changed. Only while somebody waits does the upstream's time run."""
        self._waiter = self._loop.create_future()
        self._connection.expect(min(self._loop.time() + limit_s, self._ends_at))
        try:
            await self._waiter
        finally:
            self._waiter = None
            if not self._over:
                self._connection.expect(None)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _held_now(self) -> bytes:
        """What has gathered; empty if nothing has."""
        held = self._held
        if not held:
            return b""
        data = held[0] if len(held) == 1 else b"".join(held)
        held.clear()
        self._held_bytes = 0
        if not self._over:
            self._connection.resume()
        return data

    async def _read(self) -> bytes:
        """What has come; waits for something. Empty at the end of the body."""
        while not self._held:
            if self._error is not None:
                raise self._error
            if self._over:
                return b""
            self._connection.resume()
            await self._wait(self._deadlines.idle_s)
        if self._late():
            assert self._error is not None
            raise self._error
        return self._held_now()

    def _late(self) -> bool:
        """The time for all of it ended while nobody read; it fails then."""
        if self._over or self._loop.time() < self._ends_at:
            return False
        self._fail(faults.too_slow("complete answer", self._deadlines.total_s))
        return True

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """See :meth:`relayhub.sdk.UpstreamReply.chunks`."""
        if self._inflater is None:
            while data := await self._read():
                yield data
            return
        try:
            while data := await self._read():
                async for piece in self._inflater.pieces(data):
                    yield piece
            self._inflater.end()
        except Broken as error:
            self._drop()
            raise faults.truncated(str(error)) from error

    def at_hand(self) -> bytes | None:
        """The whole body, where it has come with the head or soon after it; ``None``: read :meth:`chunks`."""
        if not self._over or self._error is not None or self._inflater is not None:
            return None
        return self._held.pop() if len(self._held) == 1 else b"".join(self._held)

    async def push(self, take: Take, express: Express | None = None) -> bool:
        """Hand every piece to ``take`` in the turn of the loop in which it comes, until ``take`` returns ``False``: it
        wants no more for now. ``False`` at the end of the body. Raises what ``take`` raises, else as :meth:`chunks`."""
        pushing = Pushing(take, self._loop.create_future())
        self.pour(pushing, express)
        try:
            return await pushing.done
        finally:
            if self._sink is pushing:
                self._sink, self._flows, self._halted = None, False, True
                if not self._over:
                    self._connection.lane = None
                    self._connection.expect(None)

    def pour(self, sink: Sink, express: Express | None = None) -> None:
        """Hand the body to ``sink``: what has come already before this returns, the rest in the turn in which it comes.
        ``express``: asked first, where a chunk comes by itself."""
        self._sink, self._offered = sink, express
        if self._inflater is None or self._inflation is not None:
            self.more()
        else:
            self._inflation = self._loop.create_task(self._pour_inflated())

    def more(self) -> None:
        """The sink, which has returned ``False``, takes again. As :meth:`pour`."""
        if self._inflation is not None:
            self._halted = False
            self._wake()
            return
        if self._sink is None:
            return
        self._flows = True
        now, ends_at, connection = self._loop.time(), self._ends_at, self._connection
        if now >= ends_at and self._late():
            return
        if not (self._held or self._over):
            connection.resume()
        while self._held:
            if not self._hand(self._held_now()):
                return
        if self._over:
            self._tell_end()
            return
        connection.heard_at = now
        due = now + self._deadlines.idle_s
        connection.expect(due if due < ends_at else ends_at)

    async def _pour_inflated(self) -> None:
        """A task, because some of it is done in a thread."""
        error: BaseException | None = None
        try:
            async with aclosing(self.chunks()) as pieces:
                async for piece in pieces:
                    if self._sink is not None:
                        self._halted = not self._sink.take(piece)
                    while self._halted:
                        await self._changed()
        except (Exception, SystemExit) as raised:
            error = raised
        sink, self._sink, self._inflation = self._sink, None, None
        if error is not None:
            self._drop()
        if sink is not None:
            sink.ended() if error is None else sink.failed(error)

    async def _changed(self) -> None:
        """Until anything has; it is not the upstream's time."""
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def leave(self) -> None:
        """The reader is done, in peace, and hears nothing more. What is left of the framing comes by itself, and frees the
        connection."""
        self._sink = None
        self._flows = False
        if self._inflation is not None:
            self._stop_inflation()
        if self._over:
            return
        self._connection.lane = None
        if self._head is None or not self._head.keep_alive or not self._sent or isinstance(self._body, UntilClose):
            self.abort()
            return
        self._draining = True
        self._held.clear()
        self._held_bytes = 0
        self._connection.resume()
        self._connection.expect(self._loop.time() + DRAIN_S)

    def _stop_inflation(self) -> None:
        if self._inflation is not None:
            self._inflation.cancel()
            self._inflation = None

"""One exchange: the request on its way out, the answer on its way in, and a limit on every wait in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing

from relayhub.types.errors import UpstreamError, upstream_broke
from relayhub.types.http import Body, Deadlines, SpoolSlice
from relayhub.types.limits import MAX_INTERIM_ANSWERS, MAX_UPSTREAM_HEAD
from relayhub.upstream import faults
from relayhub.upstream.lean.connection import Connection
from relayhub.upstream.lean.framing import Broken, Framing, UntilClose
from relayhub.upstream.lean.head import Head, parse_head
from relayhub.upstream.lean.inflate import Inflater
from relayhub.upstream.payload import PIECE, pieces_of

JOINED = 64 << 10
"""Bytes of a body that are copied behind the head, to leave in one packet; above, a second write is cheaper."""

HELD = 64 << 10
"""Bytes of an answer that wait for a slow reader before the upstream is made to wait too."""

DRAIN_S = 0.25
"""After the reader has left in peace: how long the end of the framing may take, to keep the connection."""

DRAIN_BYTES = 64 << 10
"""More than this after the reader has left is not framing; the connection is dropped instead."""

Take = Callable[[bytes], bool]
Release = Callable[[Connection, "float | None"], None]


class LeanReply:
    """A :class:`relayhub.sdk.UpstreamReply`, and what brings it about. ``status`` and ``headers`` are there once
    :meth:`exchange` has returned.

    The connection is given back as soon as the answer is complete, and dropped as soon as it cannot become so.
    ``stale``: the connection had served before and ended without a byte of this answer.
    """

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
        self._loop = asyncio.get_running_loop()
        self._sent = False
        self._untouched = True
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
        self._take: Take | None = None
        self._enough = False
        self.stale = False

    # The request

    async def exchange(self, head: bytes, body: Body) -> None:
        """Send it all and wait for the head of the answer, which may come before the request has gone out."""
        self._connection.serve(self)
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
        write = self._connection.transport.write
        write(head)
        whole = memoryview(body)
        for start in range(0, len(body), PIECE):
            if self._answered:
                return
            write(whole[start : start + PIECE])
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
        self._untouched = False
        try:
            if self._body is None:
                self._read_head(data)
            else:
                self._read_body(self._body, data)
        except Broken as error:
            self._break(error)

    def _read_head(self, data: bytes) -> None:
        data = self._head_bytes + data if self._head_bytes else data
        end = data.find(b"\r\n\r\n") + 4
        if end < 4 or end > MAX_UPSTREAM_HEAD:
            if len(data) > MAX_UPSTREAM_HEAD:
                raise Broken(f"the answer's head is larger than {MAX_UPSTREAM_HEAD} bytes")
            if not data.startswith(b"HTTP/1."[: len(data)]):
                raise Broken(f"the answer is not HTTP: {data[:80]!r}")
            self._head_bytes = data
            return
        self._head_bytes = b""
        head = parse_head(data[:end], self._method)
        rest = data[end:] if end < len(data) else b""
        if head.status < 200:
            self._pass_over(head, rest)
            return
        if head.coding is not None and not head.body.done:
            self._inflater = Inflater(head.coding)
        self.status, self.headers = head.status, head.headers
        self._head, self._body = head, head.body
        if rest and not head.body.done:
            self._read_body(head.body, rest)
        elif head.body.done:
            self._complete(excess=bool(rest))
        self._wake()

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
            self._accept(piece)
        if framing.broken is not None:
            raise framing.broken
        if framing.done and not self._over:
            self._complete(framing.excess)

    def _accept(self, piece: bytes) -> None:
        if self._take is not None:
            self._push(self._take, piece)
            return
        self._held_bytes += len(piece)
        if self._draining:
            if self._held_bytes > DRAIN_BYTES:
                self.abort()
            return
        self._held.append(piece)
        if self._held_bytes > HELD:
            self._connection.pause()
        self._wake()

    def _push(self, take: Take, piece: bytes) -> None:
        """Straight to the reader, in the turn of the loop in which it came."""
        try:
            more = take(piece)
        except (Exception, SystemExit) as error:
            self._take = None
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_exception(error)
            return
        if more:
            self._connection.expect(min(self._loop.time() + self._deadlines.idle_s, self._ends_at))
        else:
            self._take = None
            self._enough = True
            self._connection.pause()
            self._wake()

    def ended(self, error: Exception | None) -> None:
        if self._over:
            return
        if self._head is None:
            self.stale = self._untouched and self._connection.reused
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
            self._wake()

    def overdue(self) -> None:
        if self._loop.time() >= self._ends_at:
            self._fail(faults.too_slow("complete answer", self._deadlines.total_s))
        elif self._head is None:
            self._fail(faults.too_slow("answer", self._deadlines.first_byte_s))
        else:
            self._fail(faults.too_slow("further data", self._deadlines.idle_s))

    def writable(self) -> None:
        self._wake()

    def _complete(self, excess: bool) -> None:
        """The whole answer is here, and the connection free for the next request if all went by the book."""
        assert self._head is not None
        self._over = True
        if excess or not self._sent or self._connection.congested or not self._head.keep_alive:
            self._connection.drop()
        else:
            self._connection.detach()
            self._release(self._connection, self._head.idle_s)
        self._wake()

    def _break(self, error: Broken) -> None:
        text = str(error)
        self._fail(
            upstream_broke("it is not valid HTTP", detail=text) if self._head is None else faults.truncated(text)
        )

    def _fail(self, error: UpstreamError) -> None:
        self._error = error
        self.abort()

    def abort(self) -> None:
        """Drop the connection unless the answer was complete before."""
        if not self._over:
            self._over = True
            self._connection.drop()
        self._wake()

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
            await self._wait(self._deadlines.idle_s)
        if not self._over and self._loop.time() >= self._ends_at:
            late = faults.too_slow("complete answer", self._deadlines.total_s)
            self._fail(late)
            raise late
        return self._held_now()

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
            self.abort()
            raise faults.truncated(str(error)) from error

    def at_hand(self) -> bytes | None:
        """The whole body, where it has come with the head or soon after it; ``None``: read :meth:`chunks`."""
        if not self._over or self._error is not None or self._inflater is not None:
            return None
        return self._held_now() if len(self._held) < 2 else b"".join(self._held)

    @property
    def pushes(self) -> bool:
        """Whether :meth:`push` may be used: not for an answer that must be decompressed."""
        return self._inflater is None

    async def push(self, take: Take) -> bool:
        """Hand every piece to ``take`` in the turn of the loop in which it comes, until ``take`` returns ``False``: it
        wants no more for now. ``False`` at the end of the body. Raises what ``take`` raises, else as :meth:`chunks`."""
        while True:
            if self._held and not take(await self._read()):
                return True
            if self._over:
                return bool(await self._read())
            self._take = take
            self._connection.resume()
            try:
                await self._wait(self._deadlines.idle_s)
            finally:
                self._take = None
            if self._enough:
                self._enough = False
                return True

    def leave(self) -> None:
        """The reader is done, in peace. What is left of the framing comes by itself, and frees the connection."""
        if self._over:
            return
        if self._head is None or not self._head.keep_alive or not self._sent or isinstance(self._body, UntilClose):
            self.abort()
            return
        self._draining = True
        self._held.clear()
        self._held_bytes = 0
        self._connection.resume()
        self._connection.expect(self._loop.time() + DRAIN_S)

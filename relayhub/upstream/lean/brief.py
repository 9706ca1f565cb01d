"""An exchange whose answer is likely to come in one piece: most that are not streamed do."""

from __future__ import annotations

from typing import Protocol

import msgspec

from relayhub.types.http import Deadlines
from relayhub.types.limits import MAX_UPSTREAM_HEAD
from relayhub.upstream.lean.connection import Connection
from relayhub.upstream.lean.framing import Broken
from relayhub.upstream.lean.head import Whole, is_plain, media_type
from relayhub.upstream.lean.reply import LeanReply, Listener, Release


class WholeListener(Listener, Protocol):
    """One that need not be given a reply. Exactly one of the three is called."""

    def answered(self, media_type: str, body: bytes) -> None:
        """All of a good answer, status 2xx. Its connection is free again. ``media_type``: lower case, without parameters;
        empty if it says none. Must not raise."""
        ...


class Brief(msgspec.Struct, eq=False):
    """On a connection on which the whole request was written. A good answer that comes in one read is told at once; with any
    other, and whatever else happens, a :class:`LeanReply` goes on."""

    _connection: Connection
    _method: str
    _deadlines: Deadlines
    _ends_at: float
    _release: Release
    _listener: WholeListener | None
    _reply: LeanReply | None = None

    @property
    def sent(self) -> bool:
        """See :class:`relayhub.upstream.lean.transport.Begun`."""
        return True

    def received(self, data: bytes) -> None:
        connection = self._connection
        whole = None if connection.congested else connection.heads.whole(data, self._method)
        if whole is None and (whole := self._read(data)) is None:
            return
        kind, idle_s, body = whole
        connection.detach()
        self._release(connection, idle_s)
        assert self._listener is not None
        self._listener.answered(kind, body)

    def _read(self, data: bytes) -> Whole | None:
        """One whose head is not like the one before. ``None``: the reply goes on with it."""
        lines, empty, rest = data.partition(b"\r\n\r\n")
        connection = self._connection
        if not empty or len(lines) > MAX_UPSTREAM_HEAD - len(empty):
            self._go_on().received(data)
            return None
        try:
            head = connection.heads.read(lines + empty, self._method)
        except Broken:
            self._go_on().received(data)  # which says so
            return None
        if head.status < 200:
            self._go_on().received(data)
            return None
        body = head.body.whole(rest) if is_plain(head) and not connection.congested else None
        if body is None:
            self._go_on().begin_body(head, rest)
            return None
        return media_type(head.headers), head.idle_s, body

    def ended(self, error: Exception | None) -> None:
        self._go_on().ended(error)

    def overdue(self) -> None:
        self._go_on().overdue()

    def writable(self) -> None:
        """Nobody waits for that."""

    def abort(self) -> None:
        """See :class:`relayhub.upstream.lean.transport.Begun`."""
        if self._reply is not None:
            self._reply.abort()
        elif self._connection.exchange is self:
            self._listener = None
            self._connection.drop()

    def _go_on(self) -> LeanReply:
        """The listener is the reply's from now on: whoever has this must not be kept by it."""
        reply = self._reply = LeanReply(self._connection, self._method, self._deadlines, self._ends_at, self._release)
        listener, self._listener = self._listener, None
        assert listener is not None
        reply.follow(listener)
        return reply

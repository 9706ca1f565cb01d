"""The rest of a long body, read from the socket to where it stays: nothing of it is copied afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from io import BytesIO
from typing import cast

WORTH = 128 << 10
"""Bytes to come from which on this is cheaper than pieces that are joined."""

START = 128 << 10
"""Bytes that are set aside for a body of which nearly nothing has come: a length in a head is only a claim."""

TRUST = 8
"""Times of what came with the head that are set aside at once: who sends fast sends all of it. Later, twice what has come."""


class Inflow(asyncio.BufferedProtocol):
    """Stands in for a connection's protocol until the body is complete. The buffer of a ``BytesIO`` can be written to by
    others, and becomes ``bytes`` without a copy as soon as none of them has it any more."""

    __slots__ = ("_at", "_done", "_file", "_lost", "_owner", "_size", "_transport", "_view")

    def __init__(
        self, transport: asyncio.Transport, size: int, begun: memoryview, done: Callable[[bytes], None]
    ) -> None:
        """``size``: of the whole body; ``begun``: what has come of it. ``done`` is called with all of it, unless the
        connection ends before: of that, the protocol that was there is told."""
        self._transport = transport
        self._owner = cast(asyncio.Protocol, transport.get_protocol())
        self._size = size
        self._done = done
        self._lost = False
        self._file = BytesIO(bytes(min(size, max(START, TRUST * len(begun)))))
        self._view = self._file.getbuffer()
        self._view[: len(begun)] = begun
        self._at = len(begun)
        transport.set_protocol(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        if self._at == len(self._view):
            self._grow()
        return self._view[self._at :]

    def _grow(self) -> None:
        self._view.release()
        self._file.seek(min(self._size, 2 * self._at) - 1)
        self._file.write(b"\0")
        self._view = self._file.getbuffer()

    def buffer_updated(self, nbytes: int) -> None:
        self._at += nbytes
        if self._at == self._size:
            self._transport.pause_reading()
            asyncio.get_running_loop().call_soon(self._complete)  # whoever calls has the buffer still

    def _complete(self) -> None:
        if self._lost or self._transport.is_closing():
            return
        self._view.release()
        self._transport.set_protocol(self._owner)
        self._transport.resume_reading()
        self._done(self._file.getvalue())

    # For the protocol that was there

    def eof_received(self) -> bool | None:
        return self._owner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._owner.connection_lost(exc)

    def pause_writing(self) -> None:
        self._owner.pause_writing()

    def resume_writing(self) -> None:
        self._owner.resume_writing()

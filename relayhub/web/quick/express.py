"""The shortest way of a chunk: from the upstream's connection to the client's, as it came."""

from __future__ import annotations

import asyncio
from typing import Protocol

import msgspec

from relayhub.dialects.comparing import Comparing, Comparison
from relayhub.upstream.lean.framing import chunk_start
from relayhub.web.answer_stream import PUSHED


class ChunkLine(Protocol):
    """A client's connection. ``transport``: ``None`` once it is gone; ``congested``: the client does not read as fast as it
    is sent."""

    transport: asyncio.Transport | None
    congested: bool


class ChunkAnswer(Protocol):
    """An answer to whose ``line`` chunks may be written while it is ``streaming``, with a note of the loop's time in
    ``last_write``."""

    @property
    def line(self) -> ChunkLine: ...

    streaming: bool
    last_write: float


class ExpressLane(msgspec.Struct, frozen=True, eq=False):
    """What :meth:`relayhub.web.quick.answer.QuickAnswer.push` does, for chunks that need not be read. Nothing passes
    here before a frame like it has gone the long way, so the call is under way and has been noted, and no frames wait for
    the client."""

    _stream: Comparing
    _alike: Comparison
    """Of that stream."""
    _answer: ChunkAnswer
    _line: ChunkLine
    """Of that answer."""

    def take(self, chunk: bytes, at: float) -> bool:
        """All in one place, because a chunk mostly finds the processor's caches cold: each function costs as much as what
        it does."""
        line, answer = self._line, self._answer
        transport = line.transport
        if line.congested or transport is None or not answer.streaming or transport.is_closing():
            return False
        alike, start = self._alike, chunk_start(len(chunk))
        chars = alike.chunk_chars(chunk, start)
        if chars < 0:
            return False
        if not alike.as_it_is:
            if transport.get_write_buffer_size() > PUSHED:
                return False
            frames = alike.shown(chunk[len(start) : -2])
            chunk = b"%x\r\n%b\r\n" % (len(frames), frames)
        answer.last_write = at
        transport.write(chunk)
        self._stream.delivered_chars += chars
        return True

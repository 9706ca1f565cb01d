"""A streamed answer on its way to the client, piece by piece and without a task switch while the client keeps up."""

from __future__ import annotations

from dataclasses import dataclass

from relayhub.dialects.comparing import Comparing
from relayhub.gateway.answers import LaneStream
from relayhub.gateway.call import Client
from relayhub.gateway.chunk_client import ChunkClient
from relayhub.gateway.tally import Tally
from relayhub.plugins.isolation import PluginRaised
from relayhub.types.errors import RelayhubError
from relayhub.upstream.lean.framing import chunk_start
from relayhub.upstream.lean.sink import Express


@dataclass(slots=True)
class StreamRelay:
    """The two ends of :func:`relayhub.upstream.body.relay`. ``waiting``: frames that the client has not been given yet."""

    stream: LaneStream
    client: Client
    tally: Tally
    waiting: bytes = b""

    def take(self, data: bytes) -> bool:
        """Whether more may come at once. Raises what the stream's reader raises."""
        try:
            frames = self.stream.feed(data)
        except RelayhubError:
            raise
        except BaseException as error:  # called by the event loop itself, which some of these would end
            raise PluginRaised from error
        if self.waiting:
            frames = self.waiting + frames
        if not self.stream.started:
            self.waiting = frames  # comments are not content: the head waits, and another route may still answer
            return True
        self.tally.first_byte()
        if frames and not self.client.push(frames):
            self.waiting = frames
            return False
        self.tally.departure.delivered = True
        self.waiting = b""
        return not self.stream.ended

    def express(self) -> Express | None:
        """For :meth:`relayhub.upstream.lean.reply.LeanReply.pour`: a way past :meth:`take` for chunks that hold one event
        like the ones before; ``None`` where there is none."""
        if isinstance(self.stream, Comparing) and isinstance(self.client, ChunkClient):
            return _ExpressLane(self.stream, self.client).take
        return None

    async def go_on(self) -> bool:
        """Wait for the client. ``False``: the answer has ended. Raises ``ClientLeft``."""
        frames, self.waiting = self.waiting, b""
        if frames:
            await self.client.write(frames)
            self.tally.departure.delivered = True
        return not self.stream.ended


class _ExpressLane:
    """Nothing passes here before a frame like it has gone the long way, so the call is under way and has been noted, and no
    frames wait for the client."""

    __slots__ = ("_alike", "_client", "_line", "_stream")

    def __init__(self, stream: Comparing, client: ChunkClient) -> None:
        self._stream = stream
        self._client = client
        self._line = client.line
        self._alike = stream.comparison

    def take(self, chunk: bytes, at: float) -> bool:
        """All in one place, because a chunk mostly finds the processor's caches cold: each function costs as much as what
        it does."""
        start, line, client = chunk_start(len(chunk)), self._line, self._client
        transport = line.transport
        if line.congested or transport is None or not (chunk.startswith(start) and chunk.endswith(b"\r\n")):
            return False
        alike, first, end = self._alike, len(start), len(chunk) - 2
        if not client.streaming or transport.is_closing() or (chars := alike.chars(chunk, first, end)) < 0:
            return False
        if alike.as_it_is:
            client.last_write = at
            transport.write(chunk)
        elif not client.push(alike.shown(chunk, first, end)):
            return False
        self._stream.delivered_chars += chars
        return True

"""A streamed answer on its way to the client, piece by piece and without a task switch while the client keeps up."""

from __future__ import annotations

import msgspec

from relayhub.dialects.comparing import Comparing
from relayhub.gateway.answers import LaneStream
from relayhub.gateway.call import Client
from relayhub.gateway.chunk_client import ChunkClient
from relayhub.gateway.tally import Tally
from relayhub.gateway.translated_stream import WitnessedStream
from relayhub.plugins.isolation import PluginRaised
from relayhub.types.errors import RelayhubError
from relayhub.upstream.lean.sink import Express


class StreamRelay(msgspec.Struct, eq=False):
    """The two ends of :func:`relayhub.upstream.body.relay`. ``waiting``: frames that the client has not been given yet.
    ``begun``: some of them were not only comments, and the tally knows."""

    stream: LaneStream
    client: Client
    tally: Tally
    waiting: bytes = b""
    begun: bool = False

    def take(self, data: bytes) -> bool:
        """Whether more may come at once. Raises what the stream's reader raises."""
        stream, tally = self.stream, self.tally
        try:
            frames = stream.feed(data)
        except RelayhubError:
            raise
        except BaseException as error:  # called by the event loop itself, which some of these would end
            raise PluginRaised from error
        if self.waiting:
            frames = self.waiting + frames
        if not stream.started:
            self.waiting = frames  # comments are not content: the head waits, and another route may still answer
            return True
        if not self.begun:
            self.begun = True
            tally.first_byte()
        if frames and not self.client.push(frames):
            self.waiting = frames
            return False
        tally.departure.delivered = True
        if self.waiting:
            self.waiting = b""
        return not stream.ended

    def express(self) -> Express | None:
        """For :meth:`relayhub.upstream.lean.reply.LeanReply.pour`: a way past :meth:`take` for chunks that hold one event
        like the ones before; ``None`` where there is none."""
        stream: object = self.stream
        if not isinstance(stream, Comparing):
            stream = stream.comparing if isinstance(stream, WitnessedStream) else None
        return self.client.lane(stream) if stream is not None and isinstance(self.client, ChunkClient) else None

    async def go_on(self) -> bool:
        """Wait for the client. ``False``: the answer has ended. Raises ``ClientLeft``."""
        frames, self.waiting = self.waiting, b""
        if frames:
            await self.client.write(frames)
            self.tally.departure.delivered = True
        return not self.stream.ended

"""One attempt at a call over one route: the request is sent, the answer is relayed and settled."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass

from relayhub.accounts.admission import Reservation
from relayhub.gateway.call import Client, ClientLeft
from relayhub.gateway.conversation import Conversation, Conversations
from relayhub.gateway.lanes import Lane, NativeChat, TranslatedChat
from relayhub.gateway.relaying import StreamRelay
from relayhub.gateway.settling import Settling, attempt_fields
from relayhub.gateway.steady import SteadyWay
from relayhub.gateway.tally import Tally
from relayhub.plugins.isolation import is_own
from relayhub.routing.catalog import Route
from relayhub.sdk.transport import UpstreamReply
from relayhub.types.call import Outcome
from relayhub.types.errors import ErrorKind, RelayhubError, UpstreamError
from relayhub.types.http import HttpRequest
from relayhub.upstream.body import read_error, read_whole, relay
from relayhub.upstream.lean.transport import Sending


@dataclass(frozen=True, slots=True)
class Attempt:
    """Makes them; keeps no state of its own."""

    conversations: Conversations
    settling: Settling

    async def isolated(self, work: Awaitable[None], tally: Tally) -> None:
        """Do ``work``. Plugin isolation: a wire's own bug is that provider's failure, never the hub's."""
        try:
            await work
        except (RelayhubError, ClientLeft):
            raise
        except BaseException as error:
            if not is_own(error):
                raise
            failed = _broken_provider(tally.route)
            self.settling.log().exception("attempt.failed", **attempt_fields(tally, failed))
            raise failed from error

    async def only(self, work: Awaitable[None], tally: Tally) -> None:
        """The same for the only attempt there can be."""
        await self.isolated(self._noted(work, tally), tally)

    async def _noted(self, work: Awaitable[None], tally: Tally) -> None:
        try:
            await work
        except UpstreamError as error:
            tally.sent = error.delivered
            self.settling.log.attempt_failed(tally, error)
            raise

    async def run(
        self, lane: Lane, conversation: Conversation | None, client: Client, tally: Tally, reservation: Reservation
    ) -> None:
        """Raises ``ClientError`` for what the lane's language cannot say, else as :meth:`answer`."""
        if isinstance(lane, TranslatedChat) and conversation is not None:
            lane.prepare(await conversation.request(inline_media=lane.wants_inline_media))
        await self._exchange(lane, lane.request(), client, tally, reservation)

    async def _exchange(
        self, lane: Lane, request: HttpRequest, client: Client, tally: Tally, reservation: Reservation
    ) -> None:
        client.note_dropped(request.dropped)
        try:
            exchange = tally.route.provider.send(request)
            if isinstance(exchange, Sending):
                exchange.sending = tally.sending
            else:
                tally.sent = True  # which it may be at any time
            async with exchange as reply:
                await self.answer(lane, reply, client, tally, reservation)
        except UpstreamError as error:
            tally.sent = error.delivered
            raise

    async def exchange(
        self,
        way: SteadyWay,
        lane: NativeChat,
        body: bytes,
        client: Client,
        tally: Tally,
        reservation: Reservation,
    ) -> None:
        """Over a way whose requests are prepared but for their body."""
        client.note_dropped(way.dropped)
        reply = await way.transport.exchange(way.prepared, body, tally.route.provider.deadlines, tally.sending)
        try:
            await self.answer(lane, reply, client, tally, reservation)
        except BaseException:
            reply.abort()
            raise
        reply.leave()

    async def answer(
        self, lane: Lane, reply: UpstreamReply, client: Client, tally: Tally, reservation: Reservation
    ) -> None:
        """Relay what has begun to come. Raises ``UpstreamError``, also for an answer that says so; ``ClientLeft``."""
        if not 200 <= reply.status < 300:
            raise lane.error(await read_error(reply))
        if tally.call.envelope.stream:
            stream = tally.stream = lane.stream(reply.headers)
            relaying = StreamRelay(stream, client, tally)
            await relay(reply, relaying.take, relaying.go_on, relaying.express())
            await self._end_stream(lane, relaying, reservation)
        else:
            await self._whole(lane, reply, client, tally, reservation)

    async def rest(self, lane: Lane, reply: UpstreamReply, relaying: StreamRelay, reservation: Reservation) -> None:
        """Go on with a stream whose client has to be waited for."""
        if await relaying.go_on():
            await relay(reply, relaying.take, relaying.go_on, relaying.express())
        await self._end_stream(lane, relaying, reservation)

    async def _end_stream(self, lane: Lane, relaying: StreamRelay, reservation: Reservation) -> None:
        tally = relaying.tally
        last = relaying.stream.finish()
        await self.conversations.keep(tally.call, tally.route.provider.label, lane.state)
        await self.settling.settle(reservation, tally, Outcome.COMPLETED)
        await relaying.client.end(last)

    async def _whole(
        self, lane: Lane, reply: UpstreamReply, client: Client, tally: Tally, reservation: Reservation
    ) -> None:
        with tally.route.provider.memory.lease() as lease:
            whole = await read_whole(reply, lease)
            tally.first_byte()
            answer = lane.whole(whole)
            del whole  # of a large one, both would be there at once
            tally.answered(lane, answer)
            lease.settle(len(answer.body))
            if lane.state is not None:
                await self.conversations.keep(tally.call, tally.route.provider.label, lane.state)
            await self.settling.settle(reservation, tally, Outcome.COMPLETED)
            given = client.reply(answer.body, answer.content_type)
            del answer  # else it would live on in the traceback of a client that leaves
            await given


def _broken_provider(route: Route) -> UpstreamError:
    return UpstreamError(
        ErrorKind.UPSTREAM_FAILED,
        "The provider of this model failed while handling the request; the operator's log has the reason.",
        code="provider_failed",
        retryable=False,
        delivered=True,
        detail=f"the plugin of provider {route.provider.name!r} raised",
    )

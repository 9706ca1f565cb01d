"""One call from admission to settlement: the story of DESIGN's "One call, top to bottom", in that order."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass

import structlog

from relayhub.accounts.admission import Admission, Reservation
from relayhub.accounts.estimate import estimate_nano
from relayhub.gateway.call import Call, Client, ClientLeft
from relayhub.gateway.conversation import Conversation, Conversations
from relayhub.gateway.lanes import Codecs, Lane, TranslatedChat, choose_lane, view_of
from relayhub.gateway.open_calls import OpenCalls
from relayhub.gateway.tally import Tally
from relayhub.routing.catalog import Catalog, Resolved, Route
from relayhub.sdk.clock import Clock
from relayhub.sdk.transport import UpstreamReply
from relayhub.types.call import Operation, Outcome
from relayhub.types.errors import ClientError, ErrorKind, RelayhubError, UpstreamError
from relayhub.types.http import HttpRequest
from relayhub.upstream.body import read_error, read_whole

log = structlog.get_logger("relayhub.call")

GENERATING = frozenset({Operation.CHAT, Operation.COMPLETIONS, Operation.TRANSCRIPTION, Operation.TRANSLATION})
"""Operations whose output is tokens, which the hold must cover."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Serves calls. Everything it needs is handed in; it keeps no state of its own."""

    catalog: Catalog
    codecs: Codecs
    admission: Admission
    open_calls: OpenCalls
    clock: Clock
    bytes_per_token: int
    conversations: Conversations

    async def serve(self, call: Call, client: Client) -> None:
        """Answer ``call``. Raises :class:`RelayhubError` for the ingress to render: before the head was sent it becomes
        a status, after it the dialect's error event. However this ends, the call has left exactly one usage row if it
        was admitted, and its hold is settled or released."""
        resolved = self.catalog.resolve(call.envelope.model, call.principal, call.operation, call.provider)
        tally = Tally(call, resolved, client, self.clock)
        with self.open_calls.track():
            amount_nano = self._estimate(call, resolved)
            admitted = self.admission.admit(call.principal, amount_nano, call.id, tally.about())
            async with admitted as reservation:
                try:
                    await self._attempt(resolved, call, client, tally, reservation)
                except RelayhubError as error:
                    await self._settle(reservation, tally, _outcome(error), error)
                    raise
                except (asyncio.CancelledError, ClientLeft):
                    await self._interrupted(reservation, tally)
                    raise

    def _estimate(self, call: Call, resolved: Resolved) -> int:
        """The dearest of the routes: any of them may have to serve it."""
        envelope = call.envelope
        return max(
            estimate_nano(
                route.price,
                body_bytes=call.size + envelope.media_tokens * self.bytes_per_token,
                bytes_per_token=self.bytes_per_token,
                output_cap=(envelope.output_cap or route.max_output_tokens) if call.operation in GENERATING else None,
                choices=envelope.choices,
            )
            for route in resolved.routes
        )

    async def _attempt(
        self, resolved: Resolved, call: Call, client: Client, tally: Tally, reservation: Reservation
    ) -> None:
        """Try the routes in order. The next one is tried only where this one certainly did not execute the request, and
        nothing of its answer has been shown to the client (a keep-alive comment is not an answer); or where the request
        cannot be said in this one's language."""
        failure: RelayhubError | None = None
        conversation = self._conversation(call)
        routes = await _sticky(resolved.routes, conversation)
        for route in routes:
            view = view_of(call, resolved.model, route, int(self.clock.now()))
            lane = choose_lane(self.codecs, call, view, route, witness=len(routes) > 1)
            if lane is None:
                continue
            tally.begin(route)
            try:
                request = await _prepared(lane, conversation)
                return await self._relay(lane, request, route, client, tally, reservation)
            except ClientError as error:
                failure = failure or error
            except UpstreamError as error:
                log.warning("attempt.failed", **_attempt_fields(tally, error))
                if not error.retryable or error.delivered or (tally.stream is not None and tally.stream.started):
                    raise
                failure = error
            except (Exception, SystemExit) as error:
                if isinstance(error, RelayhubError | ClientLeft):
                    raise
                # Plugin isolation: a wire's own bug is that provider's failure, never the hub's.
                log.exception("attempt.failed", **_attempt_fields(tally, _broken_provider(route)))
                raise _broken_provider(route) from error
        raise failure or _not_spoken(resolved, call)

    def _conversation(self, call: Call) -> Conversation | None:
        codec = self.codecs.chat.get(call.dialect)
        return None if codec is None else self.conversations.of(codec, call)

    async def _relay(
        self, lane: Lane, request: HttpRequest, route: Route, client: Client, tally: Tally, reservation: Reservation
    ) -> None:
        client.note_dropped(request.dropped)
        tally.sent = True
        try:
            exchange = route.provider.send(request)
            async with exchange as reply:
                if not 200 <= reply.status < 300:
                    raise lane.error(await read_error(reply))
                if tally.call.envelope.stream:
                    await self._relay_stream(lane, reply, client, tally, reservation)
                else:
                    await self._relay_whole(lane, reply, client, tally, reservation)
        except UpstreamError as error:
            tally.sent = error.delivered
            raise

    async def _relay_stream(
        self, lane: Lane, reply: UpstreamReply, client: Client, tally: Tally, reservation: Reservation
    ) -> None:
        stream = tally.stream = lane.stream(reply.headers)
        early = b""
        async with aclosing(reply.chunks()) as chunks:
            async for data in chunks:
                frames = early + stream.feed(data)
                if not stream.started:
                    early = frames  # comments are not content: the head waits, and another route may still answer
                    continue
                early = b""
                tally.first_byte()
                if frames:
                    await client.write(frames)
                if stream.ended:
                    break
        last = stream.finish()
        await self.conversations.keep(tally.call, tally.route.provider.name, lane.state)
        await self._settle(reservation, tally, Outcome.COMPLETED)
        await client.end(last)

    async def _relay_whole(
        self, lane: Lane, reply: UpstreamReply, client: Client, tally: Tally, reservation: Reservation
    ) -> None:
        whole = await read_whole(reply)
        tally.first_byte()
        answer = lane.whole(whole)
        tally.usage = answer.usage
        if answer.usage is None:
            tally.whole_chars = lane.spoken_chars(answer.body)
        await self.conversations.keep(tally.call, tally.route.provider.name, lane.state)
        await self._settle(reservation, tally, Outcome.COMPLETED)
        await client.reply(answer.body, answer.content_type)

    async def _settle(
        self, reservation: Reservation, tally: Tally, outcome: Outcome, error: RelayhubError | None = None
    ) -> None:
        """Durable when this returns, or queued if the store cannot write at the moment. Only the first call counts: a
        client may still leave between the settlement and the terminal event."""
        if tally.settled:
            return
        tally.settled = True
        record = tally.record(outcome, error)
        await reservation.settle(record)
        log.info(
            "call.finished",
            call_id=record.call_id,
            key=tally.call.principal.key_name,
            client=tally.call.client,
            model=record.model,
            provider=record.provider,
            operation=record.operation,
            stream=record.stream,
            outcome=record.outcome.value,
            error=record.error_code,
            input_tokens=record.usage.input_tokens,
            output_tokens=record.usage.output_tokens,
            measured=record.measured,
            cost_nano=record.cost_nano,
            attempts=record.attempts,
            first_byte_ms=record.first_byte_ms,
            duration_ms=record.duration_ms,
        )

    async def _interrupted(self, reservation: Reservation, tally: Tally) -> None:
        """The client left, or the hub is cutting its last calls off; by now the upstream connection is closed."""
        by_hub = self.open_calls.cancelled_by_hub()
        await self._settle(reservation, tally, Outcome.HUB_ERROR if by_hub else Outcome.CLIENT_LEFT, by_hub)
        if by_hub is not None:
            task = asyncio.current_task()
            assert task is not None
            task.uncancel()
            raise by_hub


async def _prepared(lane: Lane, conversation: Conversation | None) -> HttpRequest:
    """The request for this lane. Raises ``ClientError`` for what its language cannot say."""
    if isinstance(lane, TranslatedChat) and conversation is not None:
        lane.prepare(await conversation.request(inline_media=lane.wants_inline_media))
    return lane.request()


async def _sticky(routes: tuple[Route, ...], conversation: Conversation | None) -> tuple[Route, ...]:
    """The provider first whose signed thinking the conversation carries: to any other it means nothing."""
    if len(routes) < 2 or conversation is None:
        return routes
    try:
        provider = await conversation.last_provider()
    except ClientError:
        return routes  # if it must be decoded, the lane that needs it says what is wrong
    return tuple(sorted(routes, key=lambda route: route.provider.name != provider))


def _outcome(error: RelayhubError) -> Outcome:
    match error:
        case ClientError() | UpstreamError(kind=ErrorKind.UPSTREAM_REJECTED):
            return Outcome.REJECTED
        case UpstreamError():
            return Outcome.UPSTREAM_ERROR
        case _:
            return Outcome.HUB_ERROR


def _attempt_fields(tally: Tally, error: UpstreamError) -> dict[str, object]:
    return {
        "call_id": tally.call.id,
        "provider": tally.route.provider.name,
        "model": tally.model,
        "attempt": tally.attempts,
        "code": error.code,
        "status": error.status,
        "detail": error.detail,
    }


def _broken_provider(route: Route) -> UpstreamError:
    return UpstreamError(
        ErrorKind.UPSTREAM_FAILED,
        "The provider of this model failed while handling the request; the operator's log has the reason.",
        code="provider_failed",
        retryable=False,
        delivered=True,
        detail=f"the plugin of provider {route.provider.name!r} raised",
    )


def _not_spoken(resolved: Resolved, call: Call) -> ClientError:
    """The model exists and its operation is allowed, but no provider of it has a way to do it."""
    return ClientError(
        ErrorKind.NOT_FOUND,
        f"No provider of the model {resolved.model!r} serves {call.operation.value} in the API of this endpoint.",
        code="operation_not_supported",
        param="model",
    )

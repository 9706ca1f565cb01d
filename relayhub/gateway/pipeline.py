"""One call from admission to settlement: the story of DESIGN's "One call, top to bottom", in that order."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass

import structlog

from relayhub.accounts.admission import Admission, Reservation
from relayhub.accounts.estimate import estimate_nano
from relayhub.gateway.call import Call, Client, ClientLeft
from relayhub.gateway.lanes import Codecs, Lane, choose_lane
from relayhub.gateway.open_calls import OpenCalls
from relayhub.gateway.tally import Tally
from relayhub.routing.catalog import Catalog, Resolved, Route
from relayhub.sdk.clock import Clock
from relayhub.sdk.transport import UpstreamReply
from relayhub.types.call import Operation, Outcome
from relayhub.types.errors import ErrorKind, HubError, RelayhubError, UpstreamError
from relayhub.upstream.body import read_error, read_whole

log = structlog.get_logger("relayhub.call")


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Serves calls. Everything it needs is handed in; it keeps no state of its own."""

    catalog: Catalog
    codecs: Codecs
    admission: Admission
    open_calls: OpenCalls
    clock: Clock
    bytes_per_token: int

    async def serve(self, call: Call, client: Client) -> None:
        """Answer ``call``. Raises :class:`RelayhubError` for the ingress to render: before the head was sent it becomes
        a status, after it the dialect's error event. However this ends, the call has left exactly one usage row if it
        was admitted, and its hold is settled or released."""
        resolved = self.catalog.resolve(call.envelope.model, call.principal, call.operation)
        tally = Tally(call, resolved, client, self.clock)
        with self.open_calls.track():
            amount_nano = self._estimate(call, resolved)
            admitted = self.admission.admit(call.principal, amount_nano, call.id, tally.about())
            async with admitted as reservation:
                try:
                    await self._attempt(resolved, call, client, tally, reservation)
                except UpstreamError as error:
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
                body_bytes=len(call.body),
                bytes_per_token=self.bytes_per_token,
                output_cap=None
                if call.operation is Operation.EMBEDDINGS
                else envelope.output_cap or route.max_output_tokens,
                choices=envelope.choices,
            )
            for route in resolved.routes
        )

    async def _attempt(
        self, resolved: Resolved, call: Call, client: Client, tally: Tally, reservation: Reservation
    ) -> None:
        """Try the routes in order. The next one is tried only where this one certainly did not execute the request, and
        nothing of its answer has been shown to the client (a keep-alive comment is not an answer)."""
        failure: UpstreamError | None = None
        for route in resolved.routes:
            lane = choose_lane(self.codecs, call, resolved.model, route)
            if lane is None:
                continue
            tally.begin(route)
            try:
                return await self._relay(lane, route, client, tally, reservation)
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
        raise failure or _no_route(resolved)

    async def _relay(self, lane: Lane, route: Route, client: Client, tally: Tally, reservation: Reservation) -> None:
        request = lane.request()
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
        await self._settle(reservation, tally, Outcome.COMPLETED)
        await client.end(last)

    async def _relay_whole(
        self, lane: Lane, reply: UpstreamReply, client: Client, tally: Tally, reservation: Reservation
    ) -> None:
        whole = await read_whole(reply)
        tally.first_byte()
        body, tally.usage = lane.whole(whole)
        if tally.usage is None:
            tally.whole_chars = lane.spoken_chars(body)
        await self._settle(reservation, tally, Outcome.COMPLETED)
        await client.reply(body)

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


def _outcome(error: UpstreamError) -> Outcome:
    return Outcome.REJECTED if error.kind is ErrorKind.UPSTREAM_REJECTED else Outcome.UPSTREAM_ERROR


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


def _no_route(resolved: Resolved) -> HubError:
    return HubError(
        ErrorKind.NO_ROUTE,
        f"No provider of the model {resolved.model!r} can serve this request.",
        code="no_route",
    )

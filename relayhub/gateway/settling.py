"""How a call that was admitted ends: once, with a usage row and a line in the log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from dataclasses import dataclass, field

import structlog
from structlog.typing import FilteringBoundLogger

from relayhub.accounts.admission import Reservation
from relayhub.dialects.redact import without_quotes
from relayhub.gateway.call import Call, ClientLeft
from relayhub.gateway.equal_waits import EqualWaits
from relayhub.gateway.open_calls import Cancellable, OpenCalls
from relayhub.gateway.tally import Tally
from relayhub.types.call import Outcome, UsageRecord
from relayhub.types.errors import ClientError, ErrorKind, RelayhubError, UpstreamError
from relayhub.types.limits import SETTLEMENT_WAIT_S

_MOST_LOGGED = 500
"""Characters of an upstream's words."""


class CallLog:
    """Bound with the first line, and then for good: a lazy logger puts itself together again for every line, also for those
    that are not written."""

    __slots__ = ("_bound", "_is_quiet")

    def __init__(self) -> None:
        self._bound: FilteringBoundLogger | None = None
        self._is_quiet = False
        """Calls that have ended are not written."""

    def __call__(self) -> FilteringBoundLogger:
        if self._bound is None:
            bound: FilteringBoundLogger = structlog.get_logger("relayhub.call").bind()
            self._bound, self._is_quiet = bound, not bound.is_enabled_for(logging.INFO)
        return self._bound

    def attempt_failed(self, tally: Tally, error: UpstreamError) -> None:
        self().warning("attempt.failed", **attempt_fields(tally, error))

    def finished(self, call: Call, record: UsageRecord) -> None:
        if self._is_quiet:
            return
        self().info(
            "call.finished",
            call_id=record.call_id,
            key=call.principal.key_name,
            client=call.client,
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
            on_disconnect=record.on_disconnect,
        )


@dataclass(frozen=True, slots=True)
class Settling:
    open_calls: OpenCalls
    log: CallLog = field(default_factory=CallLog)
    waits: EqualWaits = field(default_factory=lambda: EqualWaits(SETTLEMENT_WAIT_S))

    async def attended(
        self, work: Awaitable[None], tally: Tally, reservation: Reservation, call: Cancellable | None = None
    ) -> None:
        """Do ``work``, and settle where it did not come to that. ``call``: how the open calls know it; by default as the
        current task. Raises what ``work`` raises."""
        try:
            await work
        except RelayhubError as error:
            await self.settle(reservation, tally, _outcome(error), error)
            raise
        except (asyncio.CancelledError, ClientLeft):
            await self._interrupted(reservation, tally, call)
            raise

    async def settle(
        self, reservation: Reservation, tally: Tally, outcome: Outcome, error: RelayhubError | None = None
    ) -> None:
        """Durable when this returns, or queued if the store cannot write at the moment. Only the first call counts: a
        client may still leave between the settlement and the terminal event."""
        if tally.settled:
            return
        tally.settled = True
        record = tally.record(outcome, error)
        await reservation.settle(record)
        self.log.finished(tally.call, record)

    async def _interrupted(self, reservation: Reservation, tally: Tally, call: Cancellable | None) -> None:
        """The client left, or the hub is cutting its last calls off; by now the upstream connection is closed."""
        by_hub = None if tally.departure.left else self.open_calls.cancelled_by_hub(call)
        await self.settle(reservation, tally, Outcome.HUB_ERROR if by_hub else Outcome.CLIENT_LEFT, by_hub)
        self.tell_cut(tally, call)

    def tell_cut(self, tally: Tally, call: Cancellable | None = None) -> None:
        """Raises what the client of a cancelled call is told, if it was the hub that cancelled it; the task goes on then."""
        by_hub = None if tally.departure.left else self.open_calls.cancelled_by_hub(call)
        if by_hub is not None:
            _go_on()
            try:
                raise by_hub
            finally:
                del by_hub  # its traceback has this frame, and the task has that


def _go_on() -> None:
    """The task that was cancelled."""
    task = asyncio.current_task()
    assert task is not None
    task.uncancel()


def _outcome(error: RelayhubError) -> Outcome:
    match error:
        case ClientError() | UpstreamError(kind=ErrorKind.UPSTREAM_REJECTED):
            return Outcome.REJECTED
        case UpstreamError() if error.kind is not ErrorKind.UNAVAILABLE:
            return Outcome.UPSTREAM_ERROR
        case _:
            return Outcome.HUB_ERROR


def attempt_fields(tally: Tally, error: UpstreamError) -> dict[str, object]:
    """For the log."""
    return {
        "call_id": tally.call.id,
        "provider": tally.route.provider.name,
        "model": tally.model,
        "attempt": tally.attempts,
        "code": error.code,
        "status": error.status,
        "detail": error.detail and without_quotes(error.detail[:_MOST_LOGGED], tally.call.body),
    }

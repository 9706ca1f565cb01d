"""The calls of stream tickets in this process: each begun once, run in a task of its own, and ended whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import structlog

from relayhub.dialects.openai_chat.errors import encode_error_event
from relayhub.dialects.sse import data_of
from relayhub.gateway.call import Call, Client, ClientLeft
from relayhub.gateway.open_calls import OpenCalls
from relayhub.gateway.tickets.event_log import EventLog
from relayhub.gateway.tickets.live import LiveTicket
from relayhub.sdk.clock import Clock
from relayhub.store.tickets import Ticket, Tickets
from relayhub.types.errors import ErrorKind, HubError, RelayhubError
from relayhub.types.limits import SETTLEMENT_WAIT_S

DESERTED_S = 120.0
"""A call goes on for so long without anybody who reads its answer."""

FOLLOWER_NOTED_S = 20.0
"""How often a process tells the call's own that somebody reads along; three misses in a row mean that nobody does."""

TEND_S = 10.0
"""Between two looks for deserted calls, calls of dead processes, and what has expired."""

log = structlog.get_logger("relayhub.tickets")


class Serve(Protocol):
    """See :meth:`relayhub.gateway.pipeline.Pipeline.serve`."""

    async def __call__(self, call: Call, client: Client) -> None: ...


@dataclass(frozen=True, slots=True)
class _Opening:
    """See :meth:`TicketCalls.open`."""

    ticket_id: str
    call_id: str
    call_of: Callable[[bytes], Call]


class TicketCalls:
    """Errors become the answer's last event: a browser cannot read the body of a refused event stream."""

    def __init__(self, serve: Serve, tickets: Tickets, open_calls: OpenCalls, clock: Clock) -> None:
        self.tickets = tickets
        self.clock = clock
        self._serve = serve
        self._open_calls = open_calls
        self._log = EventLog(tickets, clock)
        self._live: dict[str, LiveTicket] = {}
        self._runs: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The background work. On leaving, calls that still run are cut off truthfully, and their events written."""
        writing, tending = asyncio.create_task(self._log.run()), asyncio.create_task(self._tend())
        try:
            yield
        finally:
            if self._runs:
                await self._open_calls.cut_off()
            self._log.close()
            await asyncio.wait({writing}, timeout=SETTLEMENT_WAIT_S)
            for task in (writing, tending):
                task.cancel()
            await asyncio.gather(writing, tending, return_exceptions=True)

    def live(self, ticket_id: str) -> LiveTicket | None:
        """The ticket, if its call runs in this process."""
        return self._live.get(ticket_id)

    async def open(self, ticket_id: str, call_id: str, call_of: Callable[[bytes], Call]) -> None:
        """Begin the ticket's call if nobody has. ``call_of``: from the ticket's request. Not undone by cancelling the
        caller: a claimed ticket has a call. Raises as :meth:`relayhub.store.tickets.Tickets.claim` does."""
        begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        run = asyncio.create_task(self._run(_Opening(ticket_id, call_id, call_of), begun))
        self._runs.add(run)
        run.add_done_callback(self._runs.discard)
        await asyncio.shield(begun)

    async def _run(self, opening: _Opening, begun: asyncio.Future[None]) -> None:
        with self._open_calls.track():
            request = await self._claimed(opening, begun)
            if request is None:
                return
            live = LiveTicket(opening.ticket_id, self._log.note, self.clock.monotonic(), _this_task().cancel)
            self._live[live.id] = live
            begun.set_result(None)
            try:
                error = await self._answered(live, opening, request)
                await live.end(b"" if error is None else encode_error_event(error, opening.call_id))
            finally:
                del self._live[live.id]

    async def _claimed(self, opening: _Opening, begun: asyncio.Future[None]) -> bytes | None:
        """The request, if the call is ours to begin; otherwise ``begun`` is done."""
        try:
            request = await self.tickets.claim(opening.ticket_id, opening.call_id, self.clock.now())
        except BaseException as error:
            begun.set_exception(error if isinstance(error, RelayhubError) else _internal())
            begun.exception()  # whoever waits still gets it; the caller may have left
            if isinstance(error, RelayhubError):
                return None
            raise
        if request is None:
            begun.set_result(None)
        return request

    async def _answered(self, live: LiveTicket, opening: _Opening, request: bytes) -> RelayhubError | None:
        """Why the answer is not complete; ``None``: it is."""
        try:
            await self._serve(opening.call_of(request), live)
        except RelayhubError as error:
            return error
        except (asyncio.CancelledError, ClientLeft):
            _this_task().uncancel()
            return self._open_calls.cancelled_by_hub() or _deserted()
        except Exception:
            # Broad on purpose, as in the middleware: whoever follows is told, the reason stays in the log.
            log.exception("ticket.failed", call_id=opening.call_id)
            return _internal()
        return None

    async def _tend(self) -> None:
        while True:
            await self.clock.sleep(TEND_S)
            try:
                await self.tend()
            except HubError as error:
                log.warning("tickets.untended", detail=error.detail)

    async def tend(self) -> None:
        """End deserted calls, and tickets whose process has died; delete what has expired. Idempotent, and safe beside
        other processes that do the same."""
        for live in list(self._live.values()):
            if await self._is_deserted(live):
                live.cancel()
        for orphan in await self.tickets.orphans(self.clock.now()):
            await self.end_orphan(orphan)
        while await self.tickets.sweep(self.clock.now()):
            pass

    async def _is_deserted(self, live: LiveTicket) -> bool:
        if live.ending or self.clock.monotonic() - live.followed_at < DESERTED_S:
            return False
        ticket = await self.tickets.find(live.id, self.clock.now())
        followed_at = None if ticket is None else ticket.followed_at
        elsewhere = followed_at is not None and self.clock.now() - followed_at < 3 * FOLLOWER_NOTED_S
        if elsewhere:
            live.followed_at = self.clock.monotonic()
        return not (elsewhere or live.ending)

    async def end_orphan(self, orphan: Ticket) -> None:
        """Tell those who follow a ticket that its process has died. Its hold is released by the store's epochs."""
        last = data_of(encode_error_event(_lost(), orphan.call_id or ""))
        assert last is not None
        await self.tickets.end_orphan(orphan, last, self.clock.now())


def _this_task() -> asyncio.Task[object]:
    task = asyncio.current_task()
    assert task is not None
    return task


def _deserted() -> HubError:
    return HubError(
        ErrorKind.UNAVAILABLE,
        f"Nobody read this answer for {DESERTED_S:g} s, so it was ended early.",
        code="ticket_deserted",
    )


def _lost() -> HubError:
    return HubError(
        ErrorKind.UNAVAILABLE, "The server process that wrote this answer has ended unexpectedly.", code="ticket_lost"
    )


def _internal() -> HubError:
    return HubError(
        ErrorKind.INTERNAL,
        "Something went wrong inside the server; the operator can find it by the request id.",
        code="internal_error",
    )

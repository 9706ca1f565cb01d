"""Writing the events of all tickets that run here: what has gathered goes to the store in one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from relayhub.gateway.tickets.live import LiveTicket
from relayhub.sdk.clock import Clock
from relayhub.store.tickets import NewEvents, Tickets
from relayhub.types.errors import HubError

PAUSE_S = 0.04
"""Between two transactions: a reader does not see it, and a hundred answers cost as many commits as one."""

RETRY_S = 0.5
"""Between two tries while the store cannot be written."""

MAX_TRANSACTION = 4 << 20
"""Bytes after which the rest waits for the next transaction."""

log = structlog.get_logger("relayhub.tickets")


class EventLog:
    """One per process; :meth:`run` does the writing."""

    def __init__(self, tickets: Tickets, clock: Clock) -> None:
        self._tickets = tickets
        self._clock = clock
        self._waiting: dict[str, LiveTicket] = {}
        self._news = asyncio.Event()
        self._closing = False

    def note(self, live: LiveTicket) -> None:
        """There is something to take from this ticket."""
        self._waiting[live.id] = live
        self._news.set()

    async def run(self) -> None:
        """Write until closed, and then what is still there."""
        while self._waiting or not self._closing:
            await self._news.wait()
            await self._write()
            await self._clock.sleep(PAUSE_S)

    def close(self) -> None:
        """End :meth:`run` once all is written."""
        self._closing = True
        self._news.set()

    async def _write(self) -> None:
        taken = self._take()
        if not taken:
            return
        kept = await self._durably([run for _, run in taken])
        for live, run in taken:
            if live.id in kept:
                live.confirm(run)
            else:
                log.error("ticket.lost", ticket=live.id)
                live.lose()

    def _take(self) -> list[tuple[LiveTicket, NewEvents]]:
        taken: list[tuple[LiveTicket, NewEvents]] = []
        size = 0
        while self._waiting and size < MAX_TRANSACTION:
            live = self._waiting.pop(next(iter(self._waiting)))
            run = live.take()
            if run is not None:
                taken.append((live, run))
                size += sum(map(len, run.events))
        if not self._waiting:
            self._news.clear()
        return taken

    async def _durably(self, runs: Sequence[NewEvents]) -> frozenset[str]:
        """Tried until it works: answers wait meanwhile, and those that wait for too long give up by themselves."""
        failing = False
        while True:
            try:
                return await self._tickets.append(runs, self._clock.now())
            except HubError as error:
                if not failing:
                    log.warning("tickets.write_failed", detail=error.detail, tickets=len(runs))
                failing = True
            await self._clock.sleep(RETRY_S)

"""One connection's way through a ticket's events, wherever its call runs."""

from __future__ import annotations

from collections.abc import Sequence

from relayhub.dialects.sse import frame_of
from relayhub.gateway.tickets.calls import FOLLOWER_NOTED_S, TicketCalls
from relayhub.gateway.tickets.live import LiveTicket
from relayhub.store.tickets import Progress, Ticket, TicketState

WAIT_S = 1.0
"""How long one :meth:`Follower.next` waits for a call of this process."""

POLL_S = 0.25
"""Between two looks at a call of another process."""


class Follower:
    """``after``: the last event that the client has. ``dropped``: see :class:`relayhub.store.tickets.Ticket`; known with
    the first event."""

    def __init__(self, calls: TicketCalls, ticket: Ticket, after: int) -> None:
        self.dropped = ticket.dropped
        self._calls = calls
        self._id = ticket.id
        self._after = after
        self._noted_at: float | None = None

    @property
    def elsewhere(self) -> bool:
        """The call does not run in this process."""
        return self._calls.live(self._id) is None

    async def next(self) -> bytes | None:
        """Whole frames, each with its number as ``id``; empty after a while of silence; ``None`` after the last. Raises
        ``HubError`` if the store cannot be read."""
        live = self._calls.live(self._id)
        if live is None:
            return await self._from_store()
        live.followed_at = self._calls.clock.monotonic()
        events = live.after(self._after)
        if events is None:
            return await self._from_store()
        self.dropped = live.dropped
        if events:
            return self._framed(events)
        return await self._silence(live)

    async def _silence(self, live: LiveTicket) -> bytes | None:
        if live.ended:
            return None
        await live.changed(WAIT_S)
        return b""

    async def _from_store(self) -> bytes | None:
        progress = await self._calls.tickets.progress(self._id, self._after, self._calls.clock.now())
        if progress is None:
            return None
        self.dropped = progress.ticket.dropped
        if progress.events:
            return self._framed(progress.events)
        return await self._store_silence(progress)

    async def _store_silence(self, progress: Progress) -> bytes | None:
        ticket = progress.ticket
        if ticket.state is TicketState.ENDED:
            return None
        if ticket.orphaned:
            await self._calls.end_orphan(ticket)
            return b""
        await self._note()
        await self._calls.clock.sleep(POLL_S)
        return b""

    async def _note(self) -> None:
        now = self._calls.clock.monotonic()
        if self._noted_at is None or now - self._noted_at >= FOLLOWER_NOTED_S:
            self._noted_at = now
            await self._calls.tickets.note_follower(self._id, self._calls.clock.now())

    def _framed(self, events: Sequence[tuple[int, bytes]]) -> bytes:
        self._after = events[-1][0]
        return b"".join(b"id: %d\n%b" % (number, frame_of(data)) for number, data in events)

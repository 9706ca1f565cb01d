"""Stream tickets: a request that waits for somebody who cannot send headers, and the events of its one answer.

A ticket waits, runs in exactly one process, and has ended. Its events are numbered from 1 and written before anybody is
shown them, so that every process can resume it after any of them. Requests and events are sealed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec
from sqlalchemy import Row, Select, bindparam, delete, exists, func, insert, select, update
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.sql.elements import ColumnElement

from relayhub.store import places
from relayhub.store.async_connection import AsyncConnection
from relayhub.store.engine import Engine
from relayhub.store.epoch import Epoch
from relayhub.store.schema import epochs, stream_events, stream_tickets
from relayhub.store.vault import Vault
from relayhub.types.errors import ClientError, ErrorKind, HubError

OPEN_S = 60.0
"""How long a ticket waits to be opened."""

REPLAY_S = 120.0
"""How long after its end an answer can still be resumed."""

REMEMBERED_S = 3600.0
"""How long after that its token is still known, so that a client that asks again is told to stop."""

MAX_WAITING = 100
MAX_WAITING_BYTES = 64 << 20
"""Of one key's tickets that nobody has opened: two requests of the largest default size, or a hundred usual ones."""

READ_BYTES = 256 << 10
"""About so much is read at a time, and at least one run of events."""

_READ_RUNS = 64
_SWEPT_AT_ONCE = 256
"""Rows that one transaction deletes: others get their turn at the file."""

_EVENTS = msgspec.msgpack.Decoder(list[bytes])


class TicketState(StrEnum):
    """The states of a ticket, in their order."""

    WAITING = "waiting"
    RUNNING = "running"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Ticket:
    """``dropped``: see ``HttpRequest.dropped``, as one text. ``last_event``: 0 before the first. ``followed_at``: when
    another process last said that somebody reads along. ``expires_at``: what can be done with it ends then; ``None``
    while it runs. ``orphaned``: it runs in a process that has died."""

    id: str
    key_id: str
    origin: str | None
    state: TicketState
    call_id: str | None
    epoch_id: str | None
    dropped: str
    last_event: int
    followed_at: float | None
    expires_at: float | None
    orphaned: bool


@dataclass(frozen=True, slots=True)
class NewEvents:
    """A run of events for a ticket that runs here, from number ``first`` on. ``end``: the last of them."""

    ticket_id: str
    first: int
    events: Sequence[bytes]
    dropped: str
    end: bool

    @property
    def last(self) -> int:
        return self.first + len(self.events) - 1


@dataclass(frozen=True, slots=True)
class Progress:
    """A ticket, and what comes next of its events, each with its number; both as of one moment."""

    ticket: Ticket
    events: Sequence[tuple[int, bytes]]


class Tickets:
    """All methods raise ``HubError`` UNAVAILABLE if the store cannot be used. ``now`` is unix seconds."""

    def __init__(self, engine: Engine, vault: Vault, epoch: Epoch) -> None:
        self._engine = engine
        self._vault = vault
        self._epoch = epoch

    async def create(self, ticket_id: str, key_id: str, origin: str | None, request: bytes, now: float) -> float:
        """Answers when the ticket expires. Raises ``ClientError`` RATE_LIMITED if too much waits for this key already."""
        sealed = await asyncio.to_thread(self._vault.seal, request, places.ticket_request(ticket_id))
        expires_at = now + OPEN_S
        row = {
            "id": ticket_id,
            "key_id": key_id,
            "origin": origin,
            "state": TicketState.WAITING.value,
            "request": sealed,
            "dropped": "",
            "last_event": 0,
            "expires_at": expires_at,
        }
        async with self._engine.writing() as connection:
            await _check_room(connection, key_id, len(sealed), now)
            await connection.execute(insert(stream_tickets).values(row))
        return expires_at

    async def find(self, ticket_id: str, now: float) -> Ticket | None:
        async with self._engine.reading() as connection:
            return await self._ticket(connection, ticket_id, now)

    async def claim(self, ticket_id: str, call_id: str, now: float) -> bytes | None:
        """Begin the ticket's one call: its request for whoever comes first, ``None`` for everybody else and for a ticket
        that has expired. From then on this process must append its events and its end. Raises ``ClientError`` NOT_FOUND
        if the request cannot be opened any more."""
        sealed = await self._waiting_request(ticket_id, now)
        if sealed is None:
            return None
        request = await asyncio.to_thread(self._vault.unseal, sealed, places.ticket_request(ticket_id))
        if request is None:
            raise ClientError(
                ErrorKind.NOT_FOUND, "This ticket cannot be read any more; make a new one.", code="ticket_unreadable"
            )
        begun = (
            update(stream_tickets)
            .where(_waits(ticket_id, now))
            .values(
                state=TicketState.RUNNING.value,
                request=None,
                call_id=call_id,
                epoch_id=self._epoch.id,
                expires_at=None,
            )
        )
        async with self._engine.writing() as connection:
            first = (await connection.execute(begun)).rowcount == 1
            if first:
                await self._show_life(connection, now)
        return request if first else None

    async def _waiting_request(self, ticket_id: str, now: float) -> bytes | None:
        async with self._engine.reading() as connection:
            found = await connection.execute(select(stream_tickets.c.request).where(_waits(ticket_id, now)))
            return found.scalar()

    async def _show_life(self, connection: AsyncConnection, now: float) -> None:
        """Without the row of its epoch, others would take this process for dead."""
        names = [column.name for column in epochs.columns]
        statement = sqlite_insert(epochs).values(dict(zip(names, self._epoch.row(now), strict=True)))
        renewed = {"lease_until": statement.excluded.lease_until}
        await connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=renewed))

    async def append(self, runs: Sequence[NewEvents], now: float) -> frozenset[str]:
        """Write events of tickets that run here, all in one transaction; answers whose were taken. The others have been
        ended by somebody who thought this process dead: nothing may be shown of them any more."""
        wanted = [run.ticket_id for run in runs]
        mine = select(stream_tickets.c.id).where(stream_tickets.c.id.in_(wanted), self._runs_here())
        async with self._engine.writing() as connection:
            taken = frozenset((await connection.execute(mine)).scalars())
            await self._write(connection, [run for run in runs if run.ticket_id in taken], now)
        return taken

    def _runs_here(self) -> ColumnElement[bool]:
        return (stream_tickets.c.state == TicketState.RUNNING.value) & (stream_tickets.c.epoch_id == self._epoch.id)

    async def _write(self, connection: AsyncConnection, runs: Sequence[NewEvents], now: float) -> None:
        events = [self._event_row(run.ticket_id, run.first, run.events) for run in runs if run.events]
        if events:
            await connection.execute(_ADD_RUN, events)
        if runs:
            await connection.execute(_ADVANCE, [_advanced(run, now) for run in runs])

    def _event_row(self, ticket_id: str, first: int, events: Sequence[bytes]) -> dict[str, object]:
        sealed = self._vault.seal(msgspec.msgpack.encode(events), places.ticket_events(ticket_id, first))
        return {"ticket_id": ticket_id, "first": first, "last": first + len(events) - 1, "sealed": sealed}

    async def progress(self, ticket_id: str, after: int, now: float) -> Progress | None:
        """What follows event ``after``, up to about :data:`READ_BYTES`; ``None`` for an unknown ticket."""
        async with self._engine.reading() as connection:
            ticket = await self._ticket(connection, ticket_id, now)
            if ticket is None or ticket.last_event <= after:
                return None if ticket is None else Progress(ticket, ())
            runs = (await connection.execute(_next_runs(ticket_id, after))).all()
        events = [event for run in runs for event in self._opened(run)]
        return Progress(ticket, [event for event in events if event[0] > after])

    def _opened(self, run: Row[*tuple[Any, ...]]) -> list[tuple[int, bytes]]:
        encoded = self._vault.unseal(run.sealed, places.ticket_events(run.ticket_id, run.first))
        if encoded is None:
            raise HubError(ErrorKind.INTERNAL, "This answer cannot be read any more.", code="ticket_unreadable")
        return list(enumerate(_EVENTS.decode(encoded), run.first))

    async def note_follower(self, ticket_id: str, now: float) -> None:
        """Tell the process that runs the call that somebody reads along here."""
        async with self._engine.writing() as connection:
            await connection.execute(
                update(stream_tickets).where(stream_tickets.c.id == ticket_id).values(followed_at=now)
            )

    async def orphans(self, now: float) -> list[Ticket]:
        """Tickets that run in processes that have died."""
        if not self._engine.glance.finds(_ANY_AT_A_GLANCE):
            return []
        async with self._engine.reading() as connection:
            running = _all().where(stream_tickets.c.state == TicketState.RUNNING.value)
            found = [self._read(row, now) for row in await connection.execute(running)]
        return [ticket for ticket in found if ticket.orphaned]

    async def end_orphan(self, orphan: Ticket, last: bytes, now: float) -> None:
        """End a ticket with one more event, in the place of the process that died. Idempotent."""
        still = (stream_tickets.c.id == orphan.id) & (stream_tickets.c.epoch_id == orphan.epoch_id)
        running = select(stream_tickets.c.last_event).where(still, stream_tickets.c.state == TicketState.RUNNING.value)
        async with self._engine.writing() as connection:
            before = (await connection.execute(running)).scalar()
            if before is not None:
                run = NewEvents(orphan.id, before + 1, (last,), orphan.dropped, end=True)
                await self._write(connection, [run], now)

    async def sweep(self, now: float) -> bool:
        """Delete some of what has expired; whether there may be more."""
        if not self._engine.glance.finds(_ANY_AT_A_GLANCE):
            return False
        expired = stream_tickets.c.expires_at <= now
        runs = select(stream_events.c.ticket_id, stream_events.c.first).join(stream_tickets).where(expired)
        forgotten = select(stream_tickets.c.id).where(
            stream_tickets.c.expires_at <= now - REMEMBERED_S,
            ~exists().where(stream_events.c.ticket_id == stream_tickets.c.id),
        )
        async with self._engine.writing() as connection:
            await connection.execute(
                update(stream_tickets).where(expired, stream_tickets.c.request.is_not(None)).values(request=None)
            )
            old = (await connection.execute(runs.limit(_SWEPT_AT_ONCE))).all()
            if old:
                await connection.execute(_DELETE_RUN, [{"of": row.ticket_id, "from": row.first} for row in old])
            gone = delete(stream_tickets).where(stream_tickets.c.id.in_(forgotten.limit(_SWEPT_AT_ONCE)))
            return max(len(old), (await connection.execute(gone)).rowcount) >= _SWEPT_AT_ONCE

    async def _ticket(self, connection: AsyncConnection, ticket_id: str, now: float) -> Ticket | None:
        row = (await connection.execute(_all().where(stream_tickets.c.id == ticket_id))).first()
        return None if row is None else self._read(row, now)

    def _read(self, row: Row[*tuple[Any, ...]], now: float) -> Ticket:
        values = row._asdict()
        epoch = tuple(values.pop(f"of_{column.name}") for column in epochs.columns)
        state = TicketState(values.pop("state"))
        dead = epoch[0] is None or self._epoch.finds_dead(epoch, now)
        return Ticket(**values, state=state, orphaned=state is TicketState.RUNNING and dead)


_SHOWN = (
    "id",
    "key_id",
    "origin",
    "state",
    "call_id",
    "epoch_id",
    "dropped",
    "last_event",
    "followed_at",
    "expires_at",
)

_ANY_AT_A_GLANCE = "SELECT 1 FROM stream_tickets LIMIT 1"

_ADVANCE = (
    update(stream_tickets)
    .where(stream_tickets.c.id == bindparam("of"))
    .values(
        state=bindparam("to_state"),
        dropped=bindparam("to_dropped"),
        last_event=bindparam("to_last"),
        expires_at=bindparam("to_expiry"),
    )
)
_ADD_RUN = sqlite_insert(stream_events).on_conflict_do_nothing()
"""A commit may have worked although it was reported as failed; then the same run comes again."""

_DELETE_RUN = delete(stream_events).where(
    stream_events.c.ticket_id == bindparam("of"), stream_events.c.first == bindparam("from")
)


def _all() -> Select[*tuple[Any, ...]]:
    """Tickets, each with the row of the epoch that runs it, if there is one."""
    owners = [column.label(f"of_{column.name}") for column in epochs.columns]
    joined = stream_tickets.outerjoin(epochs, epochs.c.id == stream_tickets.c.epoch_id)
    return select(*(stream_tickets.c[name] for name in _SHOWN), *owners).select_from(joined)


def _waits(ticket_id: str, now: float) -> ColumnElement[bool]:
    c = stream_tickets.c
    return (c.id == ticket_id) & (c.state == TicketState.WAITING.value) & (c.expires_at > now)


def _advanced(run: NewEvents, now: float) -> dict[str, object]:
    return {
        "of": run.ticket_id,
        "to_state": (TicketState.ENDED if run.end else TicketState.RUNNING).value,
        "to_dropped": run.dropped,
        "to_last": run.last,
        "to_expiry": now + REPLAY_S if run.end else None,
    }


def _next_runs(ticket_id: str, after: int) -> Select[*tuple[Any, ...]]:
    """The sizes are known without reading the values."""
    size = func.length(stream_events.c.sealed)
    before = (func.sum(size).over(order_by=stream_events.c.first) - size).label("before")
    c = stream_events.c
    next_ones = (
        select(c.ticket_id, c.first, before)
        .where(c.ticket_id == ticket_id, c.last > after)
        .order_by(c.first)
        .limit(_READ_RUNS)
        .subquery()
    )
    chosen = (c.ticket_id == next_ones.c.ticket_id) & (c.first == next_ones.c.first)
    return select(stream_events).join(next_ones, chosen).where(next_ones.c.before < READ_BYTES).order_by(c.first)


async def _check_room(connection: AsyncConnection, key_id: str, size: int, now: float) -> None:
    c = stream_tickets.c
    waiting = select(func.count(), func.coalesce(func.sum(func.length(c.request)), 0)).where(
        c.key_id == key_id, c.state == TicketState.WAITING.value, c.expires_at > now
    )
    count, total = (await connection.execute(waiting)).one()
    if count >= MAX_WAITING or (count and total + size > MAX_WAITING_BYTES):
        raise ClientError(
            ErrorKind.RATE_LIMITED,
            f"Too many stream tickets of this key wait to be opened ({count} with {total} bytes; at most {MAX_WAITING} "
            f"with {MAX_WAITING_BYTES}). Open them, or wait {OPEN_S:g} s until they expire.",
            code="too_many_stream_tickets",
            retry_after_s=OPEN_S / 4,
        )

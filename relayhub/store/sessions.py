"""Sessions: who is signed in, from where, until when. Whoever signs out is deleted here, so that it acts at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.sql.elements import ColumnElement

from relayhub.sdk.clock import Clock
from relayhub.store.audit import Actor, Change, record
from relayhub.store.engine import Engine
from relayhub.store.ids import new_session_id
from relayhub.store.rows import storable
from relayhub.store.schema import people, sessions
from relayhub.types.errors import ClientError, ErrorKind

SEEN_S = 60.0
"""How exact ``seen_at`` is: a look costs a write only this often."""

MAX_AGENT = 200
"""Characters kept of a browser's own name."""


@dataclass(frozen=True, slots=True)
class Session:
    """``client``: the address it was begun from; ``agent``: what the browser called itself."""

    id: str
    person_id: str
    created_at: float
    seen_at: float
    expires_at: float
    client: str | None
    agent: str | None


class Sessions:
    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    async def begin(self, person_id: str, token_hash: str, ttl_s: float, by: Actor, agent: str | None) -> Session:
        """Also forgets what has expired."""
        now = self._clock.now()
        shown = None if agent is None else storable(agent[:MAX_AGENT])
        session = Session(new_session_id(), person_id, now, now, now + ttl_s, by.client, shown)
        async with self._engine.writing() as connection:
            await connection.execute(delete(sessions).where(sessions.c.expires_at <= now))
            await connection.execute(insert(sessions).values(hash=token_hash, **_values(session)))
            await record(connection, Change(by, "session.begin", session.id, None, {"person_id": person_id}), now)
        return session

    async def find(self, token_hash: str, idle_s: float) -> Session | None:
        """The session in force behind a token; ``idle_s``: it ends when it was not seen for so long."""
        now = self._clock.now()
        in_force = (sessions.c.expires_at > now, sessions.c.seen_at > now - idle_s, people.c.disabled_at.is_(None))
        statement = select(*_columns()).join(people, people.c.id == sessions.c.person_id)
        async with self._engine.reading() as connection:
            row = (await connection.execute(statement.where(sessions.c.hash == token_hash, *in_force))).first()
        if row is None:
            return None
        session = _session(row)
        if session.seen_at <= now - SEEN_S:
            async with self._engine.writing() as connection:
                await connection.execute(update(sessions).where(sessions.c.id == session.id).values(seen_at=now))
        return session

    async def of(self, person_id: str, idle_s: float) -> list[Session]:
        """Those in force, as :meth:`find` sees it; newest first."""
        now = self._clock.now()
        in_force = (sessions.c.expires_at > now, sessions.c.seen_at > now - idle_s)
        statement = select(*_columns()).where(sessions.c.person_id == person_id, *in_force)
        async with self._engine.reading() as connection:
            rows = await connection.execute(statement.order_by(sessions.c.id.desc()))
            return [_session(row) for row in rows]

    async def end(self, session_id: str, person_id: str, by: Actor) -> None:
        """Raises ``ClientError`` NOT_FOUND, also for somebody else's."""
        own = (sessions.c.id == session_id) & (sessions.c.person_id == person_id)
        if not await self._end(own, session_id, by):
            raise ClientError(ErrorKind.NOT_FOUND, "There is no such session.", code="session_not_found")

    async def end_all(self, person_id: str, by: Actor) -> int:
        """Everywhere. Answers how many there were."""
        return await self._end(sessions.c.person_id == person_id, person_id, by)

    async def _end(self, which: ColumnElement[bool], subject: str, by: Actor) -> int:
        async with self._engine.writing() as connection:
            ended = (await connection.execute(delete(sessions).where(which))).rowcount
            if ended:
                await record(connection, Change(by, "session.end", subject, {"sessions": ended}), self._clock.now())
            return int(ended)


def _columns() -> tuple[ColumnElement[Any], ...]:
    c = sessions.c
    return c.id, c.person_id, c.created_at, c.seen_at, c.expires_at, c.client, c.agent


def _session(row: Row[*tuple[Any, ...]]) -> Session:
    return Session(*row)


def _values(session: Session) -> dict[str, str | float | None]:
    return {
        "id": session.id,
        "person_id": session.person_id,
        "created_at": session.created_at,
        "seen_at": session.seen_at,
        "expires_at": session.expires_at,
        "client": session.client,
        "agent": session.agent,
    }

"""Invites: each makes one person, of a role that was chosen when it was made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.sql.elements import ColumnElement

from relayhub.sdk.clock import Clock
from relayhub.store.audit import Actor, Change, record
from relayhub.store.engine import Engine
from relayhub.store.ids import new_invite_id
from relayhub.store.people import count_admins
from relayhub.store.schema import invites
from relayhub.types.errors import ClientError, ErrorKind
from relayhub.types.role import Role


@dataclass(frozen=True, slots=True)
class Invite:
    """``account_id`` ``None``: whoever comes gets an account of their own, if they are a user. ``person_id``: who came."""

    id: str
    role: Role
    account_id: str | None
    created_at: float
    expires_at: float
    used_at: float | None
    person_id: str | None


class Invites:
    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    async def create(self, token_hash: str, role: Role, account_id: str | None, ttl_s: float, by: Actor) -> Invite:
        now = self._clock.now()
        invite = Invite(new_invite_id(), role, account_id, now, now + ttl_s, None, None)
        async with self._engine.writing() as connection:
            await connection.execute(insert(invites).values(_values(invite, token_hash, first=False)))
            shown = Change(by, "invite.create", invite.id, None, {"role": role.value, "hash": token_hash})
            await record(connection, shown, now)
        return invite

    async def offer_first(self, token_hash: str, ttl_s: float) -> bool:
        """A token that makes the first admin, if there is none yet. Those of other processes stay good; old ones go."""
        now = self._clock.now()
        invite = Invite(new_invite_id(), Role.ADMIN, None, now, now + ttl_s, None, None)
        async with self._engine.writing() as connection:
            if await count_admins(connection):
                return False
            unused = invites.c.first.is_(True) & invites.c.used_at.is_(None)
            await connection.execute(delete(invites).where(unused, invites.c.expires_at <= now))
            await connection.execute(insert(invites).values(_values(invite, token_hash, first=True)))
        return True

    async def page(self, after: str | None, limit: int) -> list[Invite]:
        """In the order they were made, those after an id."""
        wanted = select(*_columns()).where(invites.c.first.is_(False), invites.c.id > (after or ""))
        async with self._engine.reading() as connection:
            return [_invite(row) for row in await connection.execute(wanted.order_by(invites.c.id).limit(limit))]

    async def revoke(self, invite_id: str, by: Actor) -> Invite:
        """It expires now. Raises ``ClientError`` NOT_FOUND, CONFLICT if somebody has used it."""
        now = self._clock.now()
        async with self._engine.writing() as connection:
            wanted = select(*_columns()).where(invites.c.id == invite_id, invites.c.first.is_(False))
            row = (await connection.execute(wanted)).first()
            if row is None:
                raise ClientError(ErrorKind.NOT_FOUND, "There is no such invite.", code="invite_not_found")
            if row.used_at is not None:
                raise ClientError(ErrorKind.CONFLICT, "This invite has been used.", code="invite_used")
            revoked = update(invites).where(invites.c.id == invite_id).values(expires_at=min(now, row.expires_at))
            await connection.execute(revoked)
            before, after = {"expires_at": row.expires_at}, {"expires_at": min(now, row.expires_at)}
            await record(connection, Change(by, "invite.revoke", invite_id, {**before}, {**after}), now)
            return _invite((await connection.execute(wanted)).one())


def _columns() -> tuple[ColumnElement[Any], ...]:
    c = invites.c
    return c.id, c.role, c.account_id, c.created_at, c.expires_at, c.used_at, c.person_id


def _invite(row: Row[*tuple[Any, ...]]) -> Invite:
    invite_id, role, account_id, created_at, expires_at, used_at, person_id = row
    return Invite(invite_id, Role(role), account_id, created_at, expires_at, used_at, person_id)


def _values(invite: Invite, token_hash: str, *, first: bool) -> dict[str, str | float | bool | None]:
    return {
        "id": invite.id,
        "hash": token_hash,
        "first": first,
        "role": invite.role.value,
        "account_id": invite.account_id,
        "created_at": invite.created_at,
        "expires_at": invite.expires_at,
    }

"""Admin keys: credentials of programs for the management side. They call no models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, insert, select, update
from sqlalchemy.sql.elements import ColumnElement

from relayhub.sdk.clock import Clock
from relayhub.store.audit import Actor, Change, record
from relayhub.store.engine import Engine
from relayhub.store.ids import new_admin_key_id
from relayhub.store.schema import admin_keys
from relayhub.types.errors import ClientError, ErrorKind
from relayhub.types.json import JsonObject
from relayhub.types.role import Role


@dataclass(frozen=True, slots=True)
class AdminKey:
    """``hint``: what lists show of the secret."""

    id: str
    name: str
    hash: str
    hint: str
    role: Role
    created_at: float
    expires_at: float | None
    revoked_at: float | None

    def audited(self) -> JsonObject:
        return {
            "name": self.name,
            "role": self.role.value,
            "hash": self.hash,
            "expires_at": self.expires_at,
            "revoked_at": self.revoked_at,
        }


class AdminKeys:
    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    async def create(
        self, name: str, secret_hash: str, hint: str, role: Role, expires_at: float | None, by: Actor
    ) -> AdminKey:
        """Raises ``ClientError`` CONFLICT if an active one has this name."""
        now = self._clock.now()
        key = AdminKey(new_admin_key_id(), name, secret_hash, hint, role, now, expires_at, None)
        async with self._engine.writing() as connection:
            taken = select(admin_keys.c.id).where(admin_keys.c.name == name, admin_keys.c.revoked_at.is_(None))
            if (await connection.execute(taken)).first() is not None:
                raise ClientError(ErrorKind.CONFLICT, f"There is an admin key {name!r} already.", code="key_exists")
            await connection.execute(insert(admin_keys).values(_values(key)))
            await record(connection, Change(by, "admin_key.create", key.id, None, key.audited()), now)
        return key

    async def find(self, secret_hash: str) -> AdminKey | None:
        """The one in force with this secret."""
        found = await self._where(admin_keys.c.hash == secret_hash)
        now = self._clock.now()
        in_force = [key for key in found if key.revoked_at is None and (key.expires_at is None or key.expires_at > now)]
        return in_force[0] if in_force else None

    async def page(self, after: str | None, limit: int) -> list[AdminKey]:
        """In the order they were made, those after an id."""
        statement = select(*_columns()).where(admin_keys.c.id > (after or "")).order_by(admin_keys.c.id).limit(limit)
        async with self._engine.reading() as connection:
            return [_key(row) for row in await connection.execute(statement)]

    async def revoke(self, name: str, by: Actor) -> AdminKey:
        """By id, or by the name of an active one. Raises ``ClientError`` NOT_FOUND. By id, twice changes nothing."""
        c = admin_keys.c
        found = await self._where((c.id == name) | ((c.name == name) & c.revoked_at.is_(None)))
        if not found:
            raise ClientError(ErrorKind.NOT_FOUND, f"There is no active admin key {name!r}.", code="key_not_found")
        before, now = found[0], self._clock.now()
        async with self._engine.writing() as connection:
            still = (c.id == before.id) & c.revoked_at.is_(None)
            if (await connection.execute(update(admin_keys).where(still).values(revoked_at=now))).rowcount:
                after: JsonObject = {**before.audited(), "revoked_at": now}
                await record(connection, Change(by, "admin_key.revoke", before.id, before.audited(), after), now)
        return (await self._where(c.id == before.id))[0]

    async def _where(self, condition: ColumnElement[bool]) -> list[AdminKey]:
        async with self._engine.reading() as connection:
            return [_key(row) for row in await connection.execute(select(*_columns()).where(condition))]


def _columns() -> tuple[ColumnElement[Any], ...]:
    c = admin_keys.c
    return c.id, c.name, c.hash, c.hint, c.role, c.created_at, c.expires_at, c.revoked_at


def _key(row: Row[*tuple[Any, ...]]) -> AdminKey:
    key_id, name, secret_hash, hint, role, created_at, expires_at, revoked_at = row
    return AdminKey(key_id, name, secret_hash, hint, Role(role), created_at, expires_at, revoked_at)


def _values(key: AdminKey) -> dict[str, str | float | None]:
    return {
        "id": key.id,
        "name": key.name,
        "hash": key.hash,
        "hint": key.hint,
        "role": key.role.value,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
    }

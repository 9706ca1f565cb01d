"""API keys as rows: only the hash of the secret is here. Every change moves the revision that servers watch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, Select, insert, select, update
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import ColumnElement

from relayhub.sdk.clock import Clock
from relayhub.store.engine import Engine
from relayhub.store.ids import new_key_id
from relayhub.store.schema import accounts, keys, meta
from relayhub.types.errors import ClientError, ErrorKind

REVISION = "revision"


@dataclass(frozen=True, slots=True)
class NewKey:
    """``limit_nano`` ``None``: bounded by the account alone. ``models`` ``None``: all. ``hint``: what lists show."""

    account_id: str
    name: str
    hash: str
    hint: str
    limit_nano: int | None = None
    models: frozenset[str] | None = None
    expires_at: float | None = None


@dataclass(frozen=True, slots=True)
class Key:
    id: str
    account_id: str
    account_name: str
    name: str
    hash: str
    hint: str
    limit_nano: int | None
    used_nano: int
    held_nano: int
    models: frozenset[str] | None
    expires_at: float | None
    revoked_at: float | None
    created_at: float
    revision: int


class Keys:
    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    async def create(self, new: NewKey) -> Key:
        """Raises ``ClientError`` CONFLICT if a key that is not revoked has this name."""
        key_id = new_key_id()
        async with self._engine.writing() as connection:
            taken = _all().where(keys.c.name == new.name, keys.c.revoked_at.is_(None))
            if (await connection.execute(taken)).first() is not None:
                raise ClientError(
                    ErrorKind.CONFLICT, f"There is a key {new.name!r} already; choose another name.", code="key_exists"
                )
            await connection.execute(insert(keys).values(await self._values(connection, key_id, new)))
        return (await self._where(keys.c.id == key_id))[0]

    async def _values(self, connection: AsyncConnection, key_id: str, new: NewKey) -> dict[str, object]:
        return {
            "id": key_id,
            "account_id": new.account_id,
            "name": new.name,
            "hash": new.hash,
            "hint": new.hint,
            "limit_nano": new.limit_nano,
            "used_nano": 0,
            "held_nano": 0,
            "models": None if new.models is None else json.dumps(sorted(new.models), ensure_ascii=False),
            "expires_at": new.expires_at,
            "revoked_at": None,
            "created_at": self._clock.now(),
            "revision": await _next_revision(connection),
        }

    async def revoke(self, name: str) -> Key:
        """By id, or by the name of a key that is not revoked. Raises ``ClientError`` NOT_FOUND. Revoking twice by id
        changes nothing."""
        found = await self._where((keys.c.id == name) | ((keys.c.name == name) & keys.c.revoked_at.is_(None)))
        if not found:
            raise ClientError(ErrorKind.NOT_FOUND, f"There is no active key {name!r}.", code="key_not_found")
        async with self._engine.writing() as connection:
            revoked = await connection.execute(
                update(keys)
                .where(keys.c.id == found[0].id, keys.c.revoked_at.is_(None))
                .values(revoked_at=self._clock.now())
            )
            if revoked.rowcount:
                revision = await _next_revision(connection)
                await connection.execute(update(keys).where(keys.c.id == found[0].id).values(revision=revision))
        return (await self._where(keys.c.id == found[0].id))[0]

    async def all(self) -> list[Key]:
        """In the order they were made."""
        async with self._engine.reading() as connection:
            return [_key(row) for row in await connection.execute(_all().order_by(keys.c.created_at, keys.c.id))]

    async def revision(self) -> int:
        async with self._engine.reading() as connection:
            found = await connection.execute(select(meta.c.value).where(meta.c.name == REVISION))
            return int(found.scalar() or 0)

    async def changed_since(self, revision: int) -> list[Key]:
        """Keys made or changed after ``revision``."""
        return await self._where(keys.c.revision > revision)

    async def _where(self, condition: ColumnElement[bool]) -> list[Key]:
        async with self._engine.reading() as connection:
            return [_key(row) for row in await connection.execute(_all().where(condition))]


async def _next_revision(connection: AsyncConnection) -> int:
    statement = sqlite_insert(meta).values(name=REVISION, value=1)
    bumped = statement.on_conflict_do_update(index_elements=["name"], set_={"value": meta.c.value + 1})
    return int((await connection.execute(bumped.returning(meta.c.value))).scalar_one())


def _all() -> Select[*tuple[Any, ...]]:
    c = keys.c
    columns = (
        c.id,
        c.account_id,
        accounts.c.name.label("account_name"),
        c.name,
        c.hash,
        c.hint,
        c.limit_nano,
        c.used_nano,
        c.held_nano,
    )
    return select(*columns, c.models, c.expires_at, c.revoked_at, c.created_at, c.revision).join(
        accounts, accounts.c.id == c.account_id
    )


def _key(row: Row[*tuple[Any, ...]]) -> Key:
    values = row._asdict()
    models = values["models"]
    return Key(**{**values, "models": None if models is None else frozenset(json.loads(models))})

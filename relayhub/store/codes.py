"""Redemption codes, in batches. Only their hashes are here; using one is the writer's business (``Redeem``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, Select, func, insert, select, update

from relayhub.sdk.clock import Clock
from relayhub.store.audit import Actor, Change, record
from relayhub.store.engine import Engine
from relayhub.store.ids import CODE, new_batch_id
from relayhub.store.schema import code_batches, codes, redemptions
from relayhub.types.errors import ClientError, ErrorKind
from relayhub.types.ids import Ids
from relayhub.types.json import JsonObject


@dataclass(frozen=True, slots=True)
class HashedCode:
    hash: str
    hint: str


@dataclass(frozen=True, slots=True)
class NewBatch:
    """``value_nano``: what each use of each code adds; ``max_uses``: of one code, by different accounts."""

    name: str
    prefix: str
    value_nano: int
    max_uses: int
    expires_at: float | None


@dataclass(frozen=True, slots=True)
class CodeBatch:
    """``used``: how often its codes were redeemed."""

    id: str
    name: str
    prefix: str
    value_nano: int
    codes: int
    max_uses: int
    created_at: float
    expires_at: float | None
    voided_at: float | None
    used: int

    def audited(self) -> JsonObject:
        return {
            "name": self.name,
            "prefix": self.prefix,
            "value_nano": self.value_nano,
            "codes": self.codes,
            "max_uses": self.max_uses,
            "expires_at": self.expires_at,
            "voided_at": self.voided_at,
        }


@dataclass(frozen=True, slots=True)
class CodeRow:
    id: str
    hint: str
    uses_left: int


class Codes:
    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    async def create(self, new: NewBatch, hashed: Sequence[HashedCode], by: Actor) -> CodeBatch:
        """All of them or none."""
        now, batch_id = self._clock.now(), new_batch_id()
        values = {
            "id": batch_id,
            "name": new.name,
            "prefix": new.prefix,
            "value_nano": new.value_nano,
            "codes": len(hashed),
            "max_uses": new.max_uses,
            "created_at": now,
            "expires_at": new.expires_at,
        }
        ids = Ids()
        rows = [
            {
                "id": ids.new(CODE),
                "batch_id": batch_id,
                "hash": code.hash,
                "hint": code.hint,
                "uses_left": new.max_uses,
            }
            for code in hashed
        ]
        async with self._engine.writing() as connection:
            await connection.execute(insert(code_batches).values(values))
            await connection.execute(insert(codes), rows)
            batch = _batch((await connection.execute(_batches().where(code_batches.c.id == batch_id))).one())
            await record(connection, Change(by, "code_batch.create", batch_id, None, batch.audited()), now)
        return batch

    async def get(self, batch_id: str) -> CodeBatch:
        """Raises ``ClientError`` NOT_FOUND."""
        async with self._engine.reading() as connection:
            row = (await connection.execute(_batches().where(code_batches.c.id == batch_id))).first()
        if row is None:
            raise _unknown()
        return _batch(row)

    async def page(self, after: str | None, limit: int) -> list[CodeBatch]:
        """In the order they were made, those after an id."""
        wanted = _batches().where(code_batches.c.id > (after or "")).order_by(code_batches.c.id).limit(limit)
        async with self._engine.reading() as connection:
            return [_batch(row) for row in await connection.execute(wanted)]

    async def of(self, batch_id: str, after: str | None, limit: int) -> list[CodeRow]:
        """A batch's codes, those after an id. Raises ``ClientError`` NOT_FOUND for an unknown batch."""
        await self.get(batch_id)
        c = codes.c
        wanted = select(c.id, c.hint, c.uses_left).where(c.batch_id == batch_id, c.id > (after or ""))
        async with self._engine.reading() as connection:
            return [CodeRow(*row) for row in await connection.execute(wanted.order_by(c.id).limit(limit))]

    async def void(self, batch_id: str, by: Actor) -> CodeBatch:
        """From now on its codes are worth nothing. Raises ``ClientError`` NOT_FOUND; twice changes nothing."""
        before, now = await self.get(batch_id), self._clock.now()
        c = code_batches.c
        async with self._engine.writing() as connection:
            still = (c.id == batch_id) & c.voided_at.is_(None)
            if (await connection.execute(update(code_batches).where(still).values(voided_at=now))).rowcount:
                after: JsonObject = {**before.audited(), "voided_at": now}
                await record(connection, Change(by, "code_batch.void", batch_id, before.audited(), after), now)
        return await self.get(batch_id)


def _unknown() -> ClientError:
    return ClientError(ErrorKind.NOT_FOUND, "There is no such batch of codes.", code="code_batch_not_found")


def _batches() -> Select[*tuple[Any, ...]]:
    c = code_batches.c
    used = (
        select(func.count())
        .select_from(redemptions.join(codes, codes.c.id == redemptions.c.code_id))
        .where(codes.c.batch_id == c.id)
        .scalar_subquery()
    )
    columns = (c.id, c.name, c.prefix, c.value_nano, c.codes, c.max_uses, c.created_at, c.expires_at)
    return select(*columns, c.voided_at, used.label("used"))


def _batch(row: Row[*tuple[Any, ...]]) -> CodeBatch:
    return CodeBatch(*row)

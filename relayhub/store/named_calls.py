"""Calls that their clients gave a name (``Idempotency-Key``): each is served once, and its answer kept for who asks again.

A call is begun before anything is held for it and ended after its money was settled. One that was begun and never ended
is still under way, or was lost with its process; which of the two the epochs say, and whether it cost anything the books.
"""

from __future__ import annotations

import asyncio
from collections.abc import Set
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec
from sqlalchemy import Row, Select, Update, delete, exists, func, insert, select, true, tuple_, update
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.sql.elements import ColumnElement

from relayhub.store import places
from relayhub.store.async_connection import AsyncConnection
from relayhub.store.engine import Engine
from relayhub.store.epoch import Epoch
from relayhub.store.schema import epochs, holds, ledger, named_calls, usage
from relayhub.store.usage_calls import calls
from relayhub.store.usage_filter import Condition
from relayhub.store.usage_levels import ANY_TIME
from relayhub.store.vault import Vault

KEPT_S = 24 * 3600.0
MAX_ANSWER = 1 << 20
"""Bytes; of larger answers only the request id is kept."""

MAX_KEY_BYTES = 16 << 20
MAX_BYTES = 256 << 20
"""Of one key's answers and of all: beyond that the oldest are dropped, and only their request ids stay."""

_LOOKS = 8
"""The sums are looked at whenever so much of a bound has been added: answers may be an eighth above it until then."""

_SWEPT_AT_ONCE = 256
_EXPIRED_AT_A_GLANCE = "SELECT 1 FROM named_calls WHERE expires_at <= ? LIMIT 1"


@dataclass(frozen=True, slots=True)
class CallName:
    """``name`` is the client's, within its key; both are hashes in hex."""

    key_id: str
    name: str
    body_hash: str


class KeptAnswer(msgspec.Struct, frozen=True):
    """``dropped``: see ``HttpRequest.dropped``."""

    body: bytes
    content_type: str
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Begun:
    """The name is this call's."""


@dataclass(frozen=True, slots=True)
class OtherBody:
    """It was given to another request."""


@dataclass(frozen=True, slots=True)
class UnderWay:
    """Its first call is still being served."""


@dataclass(frozen=True, slots=True)
class Ended:
    """``answer`` ``None``: it was not kept, or can no longer be opened."""

    call_id: str
    answer: KeptAnswer | None


Found: TypeAlias = Begun | OtherBody | UnderWay | Ended

_ANSWER = msgspec.msgpack.Decoder(KeptAnswer)


class NamedCalls:
    """All methods raise ``HubError`` UNAVAILABLE if the store cannot be used. ``now`` is unix seconds."""

    def __init__(self, engine: Engine, vault: Vault, epoch: Epoch) -> None:
        self._engine = engine
        self._vault = vault
        self._epoch = epoch
        self._room = _Room()

    async def begin(self, name: CallName, call_id: str, now: float, *, serving: Set[str]) -> Found:
        """Take the name, or say what became of the call that has it. ``serving``: calls that this process serves, looked at
        once the turn to write has come: others may begin, and take the name, while this one waits for it."""
        async with self._engine.writing() as connection:
            row = (await connection.execute(_named(name, now))).first()
            found = None if row is None else await self._found(connection, row, name, serving, now)
            if found is None:
                await self._show_life(connection, now)
                await connection.execute(delete(named_calls).where(_is(name)))
                await connection.execute(insert(named_calls).values(self._new(name, call_id, now)))
                return Begun()
        return found if isinstance(found, OtherBody | UnderWay) else await self._opened(name, found)

    async def _show_life(self, connection: AsyncConnection, now: float) -> None:
        """Without the row of its epoch, others would take this process for dead."""
        names = [column.name for column in epochs.columns]
        statement = sqlite_insert(epochs).values(dict(zip(names, self._epoch.row(now), strict=True)))
        renewed = {"lease_until": statement.excluded.lease_until}
        await connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=renewed))

    def _new(self, name: CallName, call_id: str, now: float) -> dict[str, object]:
        return {
            "key_id": name.key_id,
            "name": name.name,
            "body_hash": name.body_hash,
            "call_id": call_id,
            "epoch_id": self._epoch.id,
            "begun_at": now,
            "begun_after": select(func.coalesce(func.max(ledger.c.id), 0)).scalar_subquery(),
            "ended": False,
            "expires_at": now + KEPT_S,
        }

    async def _found(
        self,
        connection: AsyncConnection,
        row: Row[*tuple[Any, ...]],
        name: CallName,
        serving: Set[str],
        now: float,
    ) -> OtherBody | UnderWay | Row[*tuple[Any, ...]] | None:
        """``None``: the call of this name was lost, and cost nothing; another may take its place."""
        if row.body_hash != name.body_hash:
            return OtherBody()
        if row.ended:
            return row
        if self._is_served(row, serving, now) or await _is_open(connection, row):
            return UnderWay()
        return row if await _was_charged(connection, row) else None

    def _is_served(self, row: Row[*tuple[Any, ...]], serving: Set[str], now: float) -> bool:
        if row.epoch_id == self._epoch.id:
            return row.call_id in serving
        owner = (row.of_id, row.of_host, row.of_boot_id, row.of_pid, row.of_started, row.of_lease_until)
        return row.of_id is not None and not self._epoch.finds_dead(owner, now)

    async def _opened(self, name: CallName, row: Row[*tuple[Any, ...]]) -> Ended:
        if row.sealed is None:
            return Ended(row.call_id, None)
        opened = await asyncio.to_thread(
            self._vault.unseal, row.sealed, places.named_call(name.key_id, name.name, row.call_id)
        )
        return Ended(row.call_id, None if opened is None else _ANSWER.decode(opened))

    async def end(self, name: CallName, call_id: str, answer: KeptAnswer | None) -> None:
        """The call was answered. Durable when this returns; ``None``, or more than :data:`MAX_ANSWER`: not kept."""
        kept = answer if answer is not None and len(answer.body) <= MAX_ANSWER else None
        sealed = None if kept is None else await asyncio.to_thread(self._sealed, name, call_id, kept)
        ended = update(named_calls).where(_is(name), named_calls.c.call_id == call_id)
        async with self._engine.writing() as connection:
            await connection.execute(ended.values(ended=True, sealed=sealed))
            if sealed is not None:
                await self._room.make(connection, name.key_id, len(sealed))

    def _sealed(self, name: CallName, call_id: str, answer: KeptAnswer) -> bytes:
        return self._vault.seal(msgspec.msgpack.encode(answer), places.named_call(name.key_id, name.name, call_id))

    async def give_up(self, name: CallName, call_id: str) -> None:
        """The call failed, and is over. One that was charged keeps its name, so that it is never charged twice."""
        mine = (_is(name), named_calls.c.call_id == call_id)
        async with self._engine.writing() as connection:
            row = (await connection.execute(select(named_calls).where(*mine))).first()
            if row is None:
                return
            if await _was_charged(connection, row) or await _is_open(connection, row):
                await connection.execute(update(named_calls).where(*mine).values(ended=True))
            else:
                await connection.execute(delete(named_calls).where(*mine))

    async def sweep(self, now: float) -> bool:
        """Delete some of what has expired; whether there may be more."""
        if not self._engine.glance.finds(_EXPIRED_AT_A_GLANCE, now):
            return False
        c = named_calls.c
        old = select(c.key_id, c.name).where(c.expires_at <= now).limit(_SWEPT_AT_ONCE)
        async with self._engine.writing() as connection:
            rows = (await connection.execute(old)).all()
            for row in rows:
                await connection.execute(delete(named_calls).where(c.key_id == row.key_id, c.name == row.name))
        return len(rows) == _SWEPT_AT_ONCE


class _Room:
    """What this process has added since it last looked; it looks first at what was there before it."""

    def __init__(self) -> None:
        self._by_key: dict[str, int] = {}
        self._all = MAX_BYTES

    async def make(self, connection: AsyncConnection, key_id: str, size: int) -> None:
        """For an answer that was just added."""
        self._by_key[key_id] = self._by_key.get(key_id, MAX_KEY_BYTES) + size
        self._all += size
        if self._by_key[key_id] >= MAX_KEY_BYTES // _LOOKS:
            self._by_key[key_id] = 0
            await connection.execute(_drop_oldest(MAX_KEY_BYTES, named_calls.c.key_id == key_id))
        if self._all >= MAX_BYTES // _LOOKS:
            self._all = 0
            await connection.execute(_drop_oldest(MAX_BYTES, true()))


def _drop_oldest(most: int, among: ColumnElement[bool]) -> Update:
    c = named_calls.c
    through = func.sum(func.length(c.sealed)).over(order_by=(c.begun_at.desc(), c.key_id, c.name)).label("through")
    kept = select(c.key_id, c.name, through).where(c.sealed.is_not(None), among).subquery()
    beyond = select(kept.c.key_id, kept.c.name).where(kept.c.through > most)
    return update(named_calls).where(tuple_(c.key_id, c.name).in_(beyond)).values(sealed=None)


def _is(name: CallName) -> ColumnElement[bool]:
    return (named_calls.c.key_id == name.key_id) & (named_calls.c.name == name.name)


def _named(name: CallName, now: float) -> Select[*tuple[Any, ...]]:
    """With the row of the epoch that serves it, if there is one."""
    owners = [column.label(f"of_{column.name}") for column in epochs.columns]
    joined = named_calls.outerjoin(epochs, epochs.c.id == named_calls.c.epoch_id)
    return select(*named_calls.c, *owners).select_from(joined).where(_is(name), named_calls.c.expires_at > now)


async def _is_open(connection: AsyncConnection, row: Row[*tuple[Any, ...]]) -> bool:
    """Its money is still held: the hold of a dead process is released soon."""
    held = exists().where(holds.c.key_id == row.key_id, holds.c.call_id == row.call_id)
    return bool((await connection.execute(select(held))).scalar())


async def _was_charged(connection: AsyncConnection, row: Row[*tuple[Any, ...]]) -> bool:
    found, mine = calls([Condition("key_id", row.key_id)], ANY_TIME, after=row.begun_after)
    charged = exists().select_from(found).where(*mine, usage.c.call_id == row.call_id, usage.c.cost_nano > 0)
    return bool((await connection.execute(select(charged))).scalar())

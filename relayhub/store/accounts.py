"""Accounts: who pays."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy import Row, Select, insert, select, update

from relayhub.sdk.clock import Clock
from relayhub.store.async_connection import AsyncConnection
from relayhub.store.audit import SYSTEM, Actor, Change, record
from relayhub.store.engine import Engine
from relayhub.store.ids import new_account_id
from relayhub.store.intents import Balance
from relayhub.store.keys import tell_of_change
from relayhub.store.schema import accounts
from relayhub.types.discount import ppm_to_percent
from relayhub.types.errors import ClientError, ErrorKind
from relayhub.types.json import JsonObject

DEFAULT_ACCOUNT = "default"
"""The owner's own account: keys that name no account belong to it. Unlimited."""


@dataclass(frozen=True, slots=True)
class Account:
    """``unlimited``: a hold that the balance does not cover is preceded by an automatic grant of what is lacking."""

    id: str
    name: str
    unlimited: bool
    balance: Balance
    created_at: float
    discount_ppm: int = 0
    """Taken off whatever its calls cost, in parts per million."""

    def audited(self) -> JsonObject:
        discount: JsonObject = {"discount_percent": ppm_to_percent(self.discount_ppm)} if self.discount_ppm else {}
        return {"name": self.name, "unlimited": self.unlimited, **discount}


class Accounts:
    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    async def create(self, name: str, *, unlimited: bool = False, by: Actor = SYSTEM, discount_ppm: int = 0) -> Account:
        """Raises ``ClientError`` CONFLICT if the name is taken."""
        now = self._clock.now()
        async with self._engine.writing() as connection:
            return await insert_account(
                connection, name, unlimited=unlimited, by=by, now=now, discount_ppm=discount_ppm
            )

    async def default(self) -> Account:
        """The default account, made if it is not there yet. Idempotent, also between processes."""
        try:
            return await self.get(DEFAULT_ACCOUNT)
        except ClientError:
            pass
        try:
            return await self.create(DEFAULT_ACCOUNT, unlimited=True)
        except ClientError:  # another process was first
            return await self.get(DEFAULT_ACCOUNT)

    async def update(
        self,
        account_id: str,
        *,
        name: str | None,
        unlimited: bool | None,
        by: Actor,
        discount_ppm: int | None = None,
    ) -> Account:
        """``None``: as it is. Another discount counts for calls that are admitted from a moment later on. Raises
        ``ClientError``: NOT_FOUND, CONFLICT if the name is taken."""
        async with self._engine.writing() as connection:
            row = (await connection.execute(_all().where(accounts.c.id == account_id))).first()
            if row is None:
                raise _unknown(account_id)
            before = _account(row)
            after = replace(
                before,
                name=before.name if name is None else name,
                unlimited=before.unlimited if unlimited is None else unlimited,
                discount_ppm=before.discount_ppm if discount_ppm is None else discount_ppm,
            )
            if after == before:
                return before
            if after.name != before.name:
                await _check_free(connection, after.name)
            if after.discount_ppm != before.discount_ppm:
                await tell_of_change(connection, account_id)
            values = {"name": after.name, "unlimited": after.unlimited, "discount_ppm": after.discount_ppm}
            await connection.execute(update(accounts).where(accounts.c.id == account_id).values(values))
            change = Change(by, "account.update", account_id, before.audited(), after.audited())
            await record(connection, change, self._clock.now())
        return after

    async def get(self, name: str) -> Account:
        """By name or id. Raises ``ClientError`` NOT_FOUND."""
        async with self._engine.reading() as connection:
            wanted = (accounts.c.name == name) | (accounts.c.id == name)
            row = (await connection.execute(_all().where(wanted))).first()
        if row is None:
            raise _unknown(name)
        return _account(row)

    async def all(self) -> list[Account]:
        """By name."""
        async with self._engine.reading() as connection:
            return [_account(row) for row in await connection.execute(_all().order_by(accounts.c.name))]

    async def page(self, after: str | None, limit: int, within: str | None = None) -> list[Account]:
        """In the order they were made, those after an id; ``within``: only this one."""
        wanted = _all().where(accounts.c.id > (after or ""))
        if within is not None:
            wanted = wanted.where(accounts.c.id == within)
        async with self._engine.reading() as connection:
            rows = await connection.execute(wanted.order_by(accounts.c.id).limit(limit))
            return [_account(row) for row in rows]


async def insert_account(
    connection: AsyncConnection, name: str, *, unlimited: bool, by: Actor, now: float, discount_ppm: int = 0
) -> Account:
    """In the caller's write transaction. Raises ``ClientError`` CONFLICT if the name is taken."""
    await _check_free(connection, name)
    account = Account(new_account_id(), name, unlimited, Balance(0, 0, 0), now, discount_ppm)
    await connection.execute(insert(accounts).values(_values(account)))
    await record(connection, Change(by, "account.create", account.id, None, account.audited()), now)
    return account


async def _check_free(connection: AsyncConnection, name: str) -> None:
    if (await connection.execute(select(accounts.c.id).where(accounts.c.name == name))).first() is not None:
        raise ClientError(ErrorKind.CONFLICT, f"There is an account {name!r} already.", code="account_exists")


def _unknown(account: str) -> ClientError:
    return ClientError(ErrorKind.NOT_FOUND, f"There is no account {account!r}.", code="account_not_found")


def _values(account: Account) -> dict[str, object]:
    money = {"total_nano": 0, "used_nano": 0, "held_nano": 0}
    own = {"id": account.id, "name": account.name, "unlimited": account.unlimited, "created_at": account.created_at}
    return {**own, **money, "discount_ppm": account.discount_ppm}


def _all() -> Select[str, str, bool, int, int, int, float, int]:
    c = accounts.c
    return select(c.id, c.name, c.unlimited, c.total_nano, c.used_nano, c.held_nano, c.created_at, c.discount_ppm)


def _account(row: Row[str, str, bool, int, int, int, float, int]) -> Account:
    account_id, name, unlimited, total, used, held, created_at, discount_ppm = row
    return Account(account_id, name, bool(unlimited), Balance(total, used, held), created_at, discount_ppm)

"""Accounts: who pays."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Row, Select, insert, select
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from relayhub.sdk.clock import Clock
from relayhub.store.engine import Engine
from relayhub.store.ids import new_account_id
from relayhub.store.intents import Balance
from relayhub.store.schema import accounts
from relayhub.types.errors import ClientError, ErrorKind

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


class Accounts:
    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    async def create(self, name: str, *, unlimited: bool = False) -> Account:
        """Raises ``ClientError`` CONFLICT if the name is taken."""
        account = Account(new_account_id(), name, unlimited, Balance(0, 0, 0), self._clock.now())
        async with self._engine.writing() as connection:
            taken = (await connection.execute(select(accounts.c.id).where(accounts.c.name == name))).first()
            if taken is not None:
                raise ClientError(ErrorKind.CONFLICT, f"There is an account {name!r} already.", code="account_exists")
            await connection.execute(insert(accounts).values(_values(account)))
        return account

    async def default(self) -> Account:
        """The default account, made if it is not there yet. Idempotent, also between processes."""
        account = Account(new_account_id(), DEFAULT_ACCOUNT, True, Balance(0, 0, 0), self._clock.now())
        async with self._engine.writing() as connection:
            await connection.execute(sqlite_insert(accounts).values(_values(account)).on_conflict_do_nothing())
        return await self.get(DEFAULT_ACCOUNT)

    async def get(self, name: str) -> Account:
        """By name or id. Raises ``ClientError`` NOT_FOUND."""
        async with self._engine.reading() as connection:
            wanted = (accounts.c.name == name) | (accounts.c.id == name)
            row = (await connection.execute(_all().where(wanted))).first()
        if row is None:
            raise ClientError(ErrorKind.NOT_FOUND, f"There is no account {name!r}.", code="account_not_found")
        return _account(row)

    async def all(self) -> list[Account]:
        """By name."""
        async with self._engine.reading() as connection:
            return [_account(row) for row in await connection.execute(_all().order_by(accounts.c.name))]


def _values(account: Account) -> dict[str, object]:
    money = {"total_nano": 0, "used_nano": 0, "held_nano": 0}
    own = {"id": account.id, "name": account.name, "unlimited": account.unlimited, "created_at": account.created_at}
    return {**own, **money}


def _all() -> Select[str, str, bool, int, int, int, float]:
    c = accounts.c
    return select(c.id, c.name, c.unlimited, c.total_nano, c.used_nano, c.held_nano, c.created_at)


def _account(row: Row[str, str, bool, int, int, int, float]) -> Account:
    account_id, name, unlimited, total, used, held, created_at = row
    return Account(account_id, name, bool(unlimited), Balance(total, used, held), created_at)

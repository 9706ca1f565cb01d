"""The money that one transaction touches: read if it is not known, changed in memory, written once."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from typing import Any

from relayhub.store.intents import Balance
from relayhub.store.known import Known
from relayhub.store.limits_column import read_limits
from relayhub.types.key_limits import KeyLimits
from relayhub.types.money import MAX_NANO

_AMONG = "IN (SELECT value FROM json_each(?))"
_LOAD_KEYS = (
    "SELECT id, account_id, limit_nano, used_nano, held_nano, expires_at, revoked_at, disabled_at, unlimited, limits "  # noqa: S608  # constants
    f"FROM keys WHERE id {_AMONG}"
)
_LOAD_ACCOUNTS = f"SELECT id, unlimited, total_nano, used_nano, held_nano FROM accounts WHERE id {_AMONG}"  # noqa: S608
_STORE_KEY = "UPDATE keys SET used_nano = ?, held_nano = ? WHERE id = ?"
_STORE_ACCOUNT = "UPDATE accounts SET total_nano = ?, used_nano = ?, held_nano = ? WHERE id = ?"


@dataclass(slots=True)
class AccountMoney:
    id: str
    unlimited: bool
    total: int
    used: int
    held: int
    granted: int = 0
    """What an unlimited account was given automatically in this transaction."""
    changed: bool = False

    @property
    def remaining(self) -> int:
        return self.total - self.used - self.held

    def cover(self, amount: int, *, unlimited: bool = False) -> bool:
        """Whether ``amount`` is there; an unlimited account is given what it lacks, for an unlimited key any account."""
        lacking = amount - (self.total - self.used - self.held)
        if lacking <= 0:
            return True
        if not (self.unlimited or unlimited) or self.total + lacking > MAX_NANO:
            return False
        self.total += lacking
        self.granted += lacking
        self.changed = True
        return True

    def balance(self) -> Balance:
        return Balance(self.total, self.used, self.held)


@dataclass(slots=True)
class KeyMoney:
    id: str
    account_id: str
    limit: int | None
    used: int
    held: int
    expires_at: float | None
    revoked_at: float | None
    disabled_at: float | None
    unlimited: bool
    limits: KeyLimits | None
    changed: bool = False

    @property
    def bounded(self) -> bool:
        """It has ended, or ends at some time."""
        return not (self.revoked_at is None and self.disabled_at is None and self.expires_at is None)

    @property
    def remaining(self) -> int:
        """How much more this key may hold; practically endless without a limit."""
        return MAX_NANO if self.limit is None else self.limit - self.used - self.held


def _key(row: tuple[Any, ...]) -> KeyMoney:
    values = [*row]
    values[-1] = None if row[-1] is None else read_limits(row[-1])
    return KeyMoney(*values)


class Balances:
    """Accounts and keys by id. Only changed ones are written back."""

    def __init__(self, connection: sqlite3.Connection, known: Known, key_ids: set[str], account_ids: set[str]) -> None:
        self._connection = connection
        self.keys = known.keys
        self.accounts = known.accounts
        self._load_keys(key_ids.difference(self.keys))
        self._touched_keys = [self.keys[key_id] for key_id in key_ids if key_id in self.keys]
        account_ids.update([key.account_id for key in self._touched_keys])
        self._load_accounts(account_ids.difference(self.accounts))
        self._touched = [self.accounts[account_id] for account_id in account_ids if account_id in self.accounts]

    def _load_keys(self, ids: set[str]) -> None:
        if ids:
            for row in self._connection.execute(_LOAD_KEYS, (json.dumps([*ids]),)):
                self.keys[row[0]] = _key(row)

    def _load_accounts(self, ids: set[str]) -> None:
        if ids:
            for row in self._connection.execute(_LOAD_ACCOUNTS, (json.dumps([*ids]),)):
                self.accounts[row[0]] = AccountMoney(*row)

    def limited(self) -> dict[str, KeyLimits]:
        """The limits of those keys that are touched and have any."""
        return {key.id: key.limits for key in self._touched_keys if key.limits is not None}

    def move(self, key: KeyMoney, account: AccountMoney, held: int, used: int = 0) -> None:
        """Change what is held and used, on the key and on its account alike."""
        key.held += held
        key.used += used
        account.held += held
        account.used += used
        key.changed = account.changed = True

    def automatic_grants(self) -> list[tuple[str, int]]:
        return [(account.id, account.granted) for account in self._touched if account.granted]

    def write(self) -> None:
        accounts = [account for account in self._touched if account.changed]
        if accounts:
            self._connection.executemany(_STORE_ACCOUNT, [(a.total, a.used, a.held, a.id) for a in accounts])
        keys = [key for key in self._touched_keys if key.changed]
        if keys:
            self._connection.executemany(_STORE_KEY, [(key.used, key.held, key.id) for key in keys])
        for account in accounts:
            account.changed, account.granted = False, 0
        for key in keys:
            key.changed = False

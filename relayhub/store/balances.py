"""The money that one transaction touches: read if it is not known, changed in memory, written once."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass, field
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
        """Whether ``amount`` is there; an unlimited account is given what it lacks, for an unlimited key any account. Move
        the amount then: what was given is written with it."""
        lacking = amount - (self.total - self.used - self.held)
        if lacking <= 0:
            return True
        if not (self.unlimited or unlimited) or self.total + lacking > MAX_NANO:
            return False
        self.total += lacking
        self.granted += lacking
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
    lasting: bool = field(init=False)
    """It has not ended and never ends."""
    plain: bool = field(init=False)
    """``lasting``, and its account alone bounds it."""

    def __post_init__(self) -> None:
        self.lasting = self.expires_at is None and self.revoked_at is None and self.disabled_at is None
        self.plain = self.lasting and self.limit is None and self.limits is None

    @property
    def remaining(self) -> int:
        """How much more this key may hold; practically endless without a limit."""
        return MAX_NANO if self.limit is None else self.limit - self.used - self.held


def _key(row: tuple[Any, ...]) -> KeyMoney:
    values = [*row]
    unlimited, limits = values[-2:]
    values[-2:] = bool(unlimited), None if limits is None else read_limits(limits)
    return KeyMoney(*values)


class Balances:
    """Accounts and keys by id. Only changed ones are written back. For one transaction after the other, until one
    fails."""

    __slots__ = ("_changed_keys", "_cursor", "accounts", "changed_accounts", "keys")

    def __init__(self, cursor: sqlite3.Cursor, known: Known) -> None:
        self._cursor = cursor
        self._changed_keys: list[KeyMoney] = []
        self.changed_accounts: list[AccountMoney] = []
        self.keys = known.keys
        self.accounts = known.accounts

    def load(self, key_ids: set[str], account_ids: set[str]) -> None:
        """Reads those that are not known, and the accounts of the keys."""
        keys = self.keys
        if missing := key_ids.difference(keys):
            self._load_keys(missing)
            account_ids.update([keys[key_id].account_id for key_id in missing if key_id in keys])
        if account_ids:
            self._load_accounts(account_ids.difference(self.accounts))

    def _load_keys(self, ids: set[str]) -> None:
        for row in self._cursor.execute(_LOAD_KEYS, (json.dumps([*ids]),)):
            self.keys[row[0]] = _key(row)

    def _load_accounts(self, ids: set[str]) -> None:
        if ids:
            for row in self._cursor.execute(_LOAD_ACCOUNTS, (json.dumps([*ids]),)):
                self.accounts[row[0]] = AccountMoney(row[0], bool(row[1]), *row[2:])

    def limited(self, key_ids: set[str]) -> dict[str, KeyLimits]:
        """The limits of those keys that have any."""
        found: dict[str, KeyLimits] = {}
        for key_id in key_ids:
            key = self.keys.get(key_id)
            if key is not None and key.limits is not None:
                found[key_id] = key.limits
        return found

    def move(self, key: KeyMoney, account: AccountMoney, held: int, used: int = 0) -> None:
        """Change what is held and used, on the key and on its account alike."""
        key.held += held
        key.used += used
        account.held += held
        account.used += used
        if not key.changed:
            key.changed = True
            self._changed_keys.append(key)
        if not account.changed:
            account.changed = True
            self.changed_accounts.append(account)

    def add(self, account: AccountMoney, amount: int) -> None:
        """Change what the account was given."""
        account.total += amount
        if not account.changed:
            account.changed = True
            self.changed_accounts.append(account)

    def write(self) -> None:
        write = self._cursor.executemany  # of one row each: ``execute`` would ask for the last row's id
        for account in self.changed_accounts:
            write(_STORE_ACCOUNT, ((account.total, account.used, account.held, account.id),))
            account.changed, account.granted = False, 0
        self.changed_accounts.clear()
        for key in self._changed_keys:
            write(_STORE_KEY, ((key.used, key.held, key.id),))
            key.changed = False
        self._changed_keys.clear()

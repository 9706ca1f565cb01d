"""Changing the vault's keys beside a running hub.

A new key is put first in the key file, and every process seals with it within half a second. Then what the older keys sealed
is sealed again, a few values in each transaction. The older keys leave the file last. Whenever this stops in between,
everything can be opened, and it can be begun again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from relayhub.store.audit import Actor, Change, write_changes
from relayhub.store.connection import LOCK_WAIT_S
from relayhub.store.errors import StoreError
from relayhub.store.key_file import MAX_KEYS, KeyFile, VaultKey, new_key
from relayhub.store.migrate import NEWEST, current_revision
from relayhub.store.sealed import SEALED, SealedColumn, SealedValue, count_by_head, replace_value, values_without
from relayhub.store.vault import WITHOUT_ID, Vault, head_of
from relayhub.types.json import JsonObject

SETTLE_S = 60.0
"""A value may be sealed for so long before it is written: older keys stay at least until then."""

_AT_ONCE = 64
"""Values; others get their turn at the file."""


@dataclass(frozen=True, slots=True)
class KeyStatus:
    """``values``: how many are sealed with this key."""

    id: str
    made_at: float
    values: int


@dataclass(frozen=True, slots=True)
class VaultStatus:
    """``keys``: the newest first. ``unnamed``: values of older releases, which do not say which key they need.
    ``unknown``: values of keys that are not in the file."""

    keys: tuple[KeyStatus, ...]
    unnamed: int
    unknown: int


@dataclass(frozen=True, slots=True)
class Resealed:
    """``unreadable``: values that no key of the file opens; they stay as they are."""

    values: int
    unreadable: int


def status(database: Path) -> VaultStatus:
    """Raises ``StoreError``."""
    keys = _keys(KeyFile.of(database))
    heads = [head_of(key) for key in keys]
    with _opened(database) as connection:
        counts = count_by_head(connection, len(heads[0]))
    shown = tuple(
        KeyStatus(key.id.hex(), key.made_at, counts.pop(head, 0)) for key, head in zip(keys, heads, strict=True)
    )
    unnamed = sum(number for head, number in counts.items() if head[:1] == WITHOUT_ID)
    return VaultStatus(shown, unnamed, sum(counts.values()) - unnamed)


def add_key(database: Path, now: float, actor: Actor) -> VaultKey:
    """Put a new key first in the file. Raises ``StoreError``."""
    file, key = KeyFile.of(database), new_key(now)
    with _opened(database) as connection, _alone(connection):
        keys = _keys(file)
        if len(keys) >= MAX_KEYS:
            raise StoreError(
                f"{file.path}: there are {len(keys)} keys, the most there may be; run `relayhub vault rotate --retire`."
            )
        file.replace([key, *keys])
        _note(connection, "vault.rotate", actor, now, keys, [key, *keys])
    return key


def reseal(database: Path, on_progress: Callable[[int], None] = lambda _: None) -> Resealed:
    """Seal again whatever was not sealed with the newest key. ``on_progress``: is told how many values are done. Raises
    ``StoreError``."""
    vault = _vault(database)
    done = unreadable = 0
    with _opened(database) as connection:
        for column in SEALED:
            for values in _older(connection, column, head_of(vault.keys[0])):
                renewed = [(value, sealed) for value in values if (sealed := _renewed(vault, value)) is not None]
                unreadable += len(values) - len(renewed)
                with _alone(connection):
                    done += sum(replace_value(connection, value, sealed) for value, sealed in renewed)
                on_progress(done)
    return Resealed(done, unreadable)


def retire(database: Path, now: float, actor: Actor) -> list[str]:
    """Take all keys but the newest out of the file; returns their ids. Raises ``StoreError`` if something may still need
    one of them."""
    file = KeyFile.of(database)
    with _opened(database) as connection, _alone(connection):
        keys = _keys(file)
        newest, older = keys[0], keys[1:]
        if not older:
            return []
        if (left_s := newest.made_at + SETTLE_S - now) > 0:
            raise StoreError(
                f"{file.path}: the newest key is {now - newest.made_at:.0f} s old, and calls under way may still write "
                f"with the one before; run `relayhub vault rotate --retire` in {left_s:.0f} s."
            )
        if needed := _needing(connection, _vault(database)):
            raise StoreError(f"{file.path}: {needed} values are sealed with an older key; run the command again.")
        file.replace([newest])
        _note(connection, "vault.retire", actor, now, keys, [newest])
    return [key.id.hex() for key in older]


def _needing(connection: sqlite3.Connection, vault: Vault) -> int:
    """Values that an older key opens."""
    older = (
        value
        for column in SEALED
        for values in _older(connection, column, head_of(vault.keys[0]))
        for value in values
        if vault.tried(value.sealed, value.place) is not None
    )
    return sum(1 for _ in older)


def _older(connection: sqlite3.Connection, column: SealedColumn, head: bytes) -> Iterator[list[SealedValue]]:
    after = 0
    while values := values_without(connection, column, head, after, _AT_ONCE):
        yield values
        after = values[-1].row


def _renewed(vault: Vault, value: SealedValue) -> bytes | None:
    text = vault.tried(value.sealed, value.place)
    return None if text is None else vault.seal(text, value.place)


def _note(
    connection: sqlite3.Connection,
    action: str,
    actor: Actor,
    now: float,
    before: Sequence[VaultKey],
    after: Sequence[VaultKey],
) -> None:
    write_changes(connection, [Change(actor, action, "vault", _named(before), _named(after))], now)


def _named(keys: Sequence[VaultKey]) -> JsonObject:
    return {"keys": [key.id.hex() for key in keys]}


def _keys(file: KeyFile) -> tuple[VaultKey, ...]:
    keys = file.read()
    if keys is None:
        raise StoreError(f"{file.path}: there is no key file yet; the first start of the hub makes one.")
    return keys


def _vault(database: Path) -> Vault:
    file = KeyFile.of(database)
    return Vault(file, _keys(file))


@contextmanager
def _opened(database: Path) -> Iterator[sqlite3.Connection]:
    """The database as this release knows it, with its faults as ``StoreError``."""
    if not database.exists() or current_revision(database) != NEWEST:
        raise StoreError(f"{database}: the database is not there, or not of this release; start the hub on it once.")
    try:
        with closing(sqlite3.connect(database, isolation_level=None, timeout=LOCK_WAIT_S)) as connection:
            connection.execute("PRAGMA synchronous = FULL")
            yield connection
    except sqlite3.Error as error:
        raise StoreError(f"{database}: the database cannot be used: {error}.") from error


@contextmanager
def _alone(connection: sqlite3.Connection) -> Iterator[None]:
    """A write transaction: one at a time in all processes, also for the key file."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")

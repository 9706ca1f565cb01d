"""API keys as rows: only the hash of the secret is here. Every change moves the revision that servers watch."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Row, Select, insert, select, update
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.sql.elements import ColumnElement

from relayhub.sdk.clock import Clock
from relayhub.store.async_connection import AsyncConnection
from relayhub.store.audit import SYSTEM, Actor, Change, record
from relayhub.store.engine import Engine
from relayhub.store.ids import new_key_id
from relayhub.store.limits_column import checked, limits_object, limits_text, read_limits
from relayhub.store.schema import accounts, key_windows, keys, meta
from relayhub.store.windows import Window
from relayhub.types.errors import ClientError, ErrorKind
from relayhub.types.json import JsonObject
from relayhub.types.key_limits import NO_LIMITS, KeyLimits

REVISION = "revision"
_REVISION_AT_A_GLANCE = "SELECT coalesce((SELECT value FROM meta WHERE name = ?), 0)"


@dataclass(frozen=True, slots=True)
class NewKey:
    """``limit_nano`` ``None``: bounded by the account alone; ``unlimited``: not even by that, whose account is given what it
    lacks. ``models`` ``None``: all. ``hint``: what lists show."""

    account_id: str
    name: str
    hash: str
    hint: str
    limit_nano: int | None = None
    models: frozenset[str] | None = None
    expires_at: float | None = None
    unlimited: bool = False
    limits: KeyLimits = NO_LIMITS
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Key:
    """``previous_hash``: of the secret that was replaced last, which is good until ``previous_until``. ``tags``: sorted."""

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
    unlimited: bool
    limits: KeyLimits
    tags: tuple[str, ...]
    disabled_at: float | None
    previous_hash: str | None
    previous_until: float | None
    account_discount_ppm: int = 0

    @property
    def state(self) -> str:
        if self.revoked_at is not None:
            return "revoked"
        return "active" if self.disabled_at is None else "disabled"

    def audited(self) -> JsonObject:
        return {
            "name": self.name,
            "account_id": self.account_id,
            "hash": self.hash,
            "limit_nano": self.limit_nano,
            "models": None if self.models is None else [*sorted(self.models)],
            "expires_at": self.expires_at,
            "revoked_at": self.revoked_at,
            "unlimited": self.unlimited,
            "limits": limits_object(self.limits),
            "tags": [*self.tags],
            "disabled_at": self.disabled_at,
            "previous_until": self.previous_until,
        }


@dataclass(frozen=True, slots=True)
class KeyTerms:
    """What can be changed of a key; all of it is said, but ``None`` for one of the last three leaves that as it is."""

    name: str
    limit_nano: int | None
    models: frozenset[str] | None
    expires_at: float | None
    unlimited: bool | None = None
    limits: KeyLimits | None = None
    tags: tuple[str, ...] | None = None


class Keys:
    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    async def create(self, new: NewKey, by: Actor = SYSTEM) -> Key:
        """Raises ``ClientError``: CONFLICT if a key of this account that is not revoked has this name; INVALID_REQUEST for
        limits or tags that make no sense."""
        key_id = new_key_id()
        async with self._engine.writing() as connection:
            await _check_free(connection, new.account_id, new.name)
            await connection.execute(insert(keys).values(await self._values(connection, key_id, new)))
            key = _key((await connection.execute(_all().where(keys.c.id == key_id))).one())
            await record(connection, Change(by, "key.create", key_id, None, key.audited()), key.created_at)
        return key

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
            "models": _listed(new.models),
            "expires_at": new.expires_at,
            "revoked_at": None,
            "created_at": self._clock.now(),
            "revision": await _next_revision(connection),
            **_terms(new.limit_nano, new.unlimited, checked(new.limits), _sorted(new.tags)),
        }

    async def get(self, key_id: str, within: str | None = None) -> Key:
        """By id; ``within``: only a key of this account. Raises ``ClientError`` NOT_FOUND, the same for a foreign one."""
        found = await self._where(_own(keys.c.id == key_id, within))
        if not found:
            raise _unknown(key_id)
        return found[0]

    async def named(self, name: str, within: str | None = None) -> Key:
        """By id, or by the name of a key that is not revoked; otherwise as :meth:`get`. Raises ``ClientError`` CONFLICT if
        several accounts have one of this name."""
        active = (keys.c.name == name) & keys.c.revoked_at.is_(None)
        found = await self._where(_own((keys.c.id == name) | active, within))
        if not found:
            raise _unknown(name)
        if len(found) > 1:
            raise ClientError(
                ErrorKind.CONFLICT, f"Several accounts have a key {name!r}; say its id instead.", code="key_ambiguous"
            )
        return found[0]

    async def update(
        self, key_id: str, terms: KeyTerms | Callable[[Key], KeyTerms], by: Actor, within: str | None = None
    ) -> Key:
        """``terms``: the new ones, or what makes them of the key as it is at that moment, where others may be changing it,
        too. Raises ``ClientError``: NOT_FOUND; CONFLICT if the name is taken, the key revoked, or the new limit below what
        is used and held; INVALID_REQUEST for limits or tags that make no sense."""
        async with self._engine.writing() as connection:
            row = (await connection.execute(_all().where(_own(keys.c.id == key_id, within)))).first()
            if row is None:
                raise _unknown(key_id)
            before = _key(row)
            terms = terms if isinstance(terms, KeyTerms) else terms(before)
            after = replace(
                before,
                name=terms.name,
                limit_nano=terms.limit_nano,
                models=terms.models,
                expires_at=terms.expires_at,
                unlimited=_unlimited(terms, before),
                limits=before.limits if terms.limits is None else checked(terms.limits),
                tags=before.tags if terms.tags is None else _sorted(terms.tags),
            )
            if after == before:
                return before
            await _check_change(connection, before, after)
            values = {
                "name": after.name,
                "limit_nano": after.limit_nano,
                "models": _listed(after.models),
                "expires_at": after.expires_at,
                "revision": await _next_revision(connection),
                **_terms(after.limit_nano, after.unlimited, after.limits, after.tags),
            }
            await connection.execute(update(keys).where(keys.c.id == key_id).values(values))
            change = Change(by, "key.update", key_id, before.audited(), after.audited())
            await record(connection, change, self._clock.now())
        return await self.get(key_id)

    async def revoke(self, name: str, by: Actor = SYSTEM, within: str | None = None) -> Key:
        """By id, or by the name of a key that is not revoked; ``within``: only a key of this account. Raises
        ``ClientError`` as :meth:`named`. Revoking twice by id changes nothing."""
        before, now = await self.named(name, within), self._clock.now()
        async with self._engine.writing() as connection:
            still = (keys.c.id == before.id) & keys.c.revoked_at.is_(None)
            revoked = await connection.execute(update(keys).where(still).values(revoked_at=now))
            if revoked.rowcount:
                revision = await _next_revision(connection)
                await connection.execute(update(keys).where(keys.c.id == before.id).values(revision=revision))
                after: JsonObject = {**before.audited(), "revoked_at": now}
                await record(connection, Change(by, "key.revoke", before.id, before.audited(), after), now)
        return (await self._where(keys.c.id == before.id))[0]

    async def disable(self, name: str, by: Actor = SYSTEM, within: str | None = None) -> Key:
        """Refuse it until it is enabled again; otherwise as :meth:`revoke`, and not for a revoked one (CONFLICT)."""
        return await self._switch(name, self._clock.now(), Change(by, "key.disable", ""), within)

    async def enable(self, name: str, by: Actor = SYSTEM, within: str | None = None) -> Key:
        """The end of :meth:`disable`."""
        return await self._switch(name, None, Change(by, "key.enable", ""), within)

    async def _switch(self, name: str, disabled_at: float | None, change: Change, within: str | None) -> Key:
        key_id = (await self.named(name, within)).id
        async with self._engine.writing() as connection:
            before = await _changeable(connection, key_id)
            if (before.disabled_at is None) != (disabled_at is None):
                await self._put(connection, before, {"disabled_at": disabled_at}, change)
        return await self.get(key_id)

    async def rotate(
        self, name: str, fresh: tuple[str, str], until: float, by: Actor = SYSTEM, within: str | None = None
    ) -> Key:
        """Give it another secret. ``fresh``: its hash and hint. The one before is good ``until`` then, at the longest until
        the key's own end; one that was replaced earlier is good no more. Otherwise as :meth:`disable`."""
        key_id = (await self.named(name, within)).id
        async with self._engine.writing() as connection:
            before = await _changeable(connection, key_id)
            given = {"hash": fresh[0], "hint": fresh[1], "previous_hash": before.hash}
            await self._put(connection, before, {**given, "previous_until": until}, Change(by, "key.rotate", ""))
        return await self.get(key_id)

    async def _put(
        self, connection: AsyncConnection, before: Key, values: Mapping[str, str | float | None], change: Change
    ) -> None:
        revision = await _next_revision(connection)
        await connection.execute(update(keys).where(keys.c.id == before.id).values(**values, revision=revision))
        after = replace(before, **values).audited()  # type: ignore[arg-type]  # columns and fields have one name
        done = replace(change, subject=before.id, before=before.audited(), after=after)
        await record(connection, done, self._clock.now())

    async def counts(self, key_id: str) -> dict[Window, tuple[float, int]]:
        """What was last counted against its limits: since when, and how much."""
        wanted = select(key_windows.c.window, key_windows.c.starts_at, key_windows.c.amount)
        async with self._engine.reading() as connection:
            rows = await connection.execute(wanted.where(key_windows.c.key_id == key_id))
            return {Window(row[0]): (row[1], row[2]) for row in rows}

    async def all(self) -> list[Key]:
        """In the order they were made."""
        async with self._engine.reading() as connection:
            return [_key(row) for row in await connection.execute(_all().order_by(keys.c.created_at, keys.c.id))]

    async def page(self, after: str | None, limit: int, within: str | None = None) -> list[Key]:
        """In the order they were made, those after an id; ``within``: only those of this account."""
        wanted = _all().where(_own(keys.c.id > (after or ""), within)).order_by(keys.c.id).limit(limit)
        async with self._engine.reading() as connection:
            return [_key(row) for row in await connection.execute(wanted)]

    async def revision(self) -> int:
        async with self._engine.reading() as connection:
            found = await connection.execute(select(meta.c.value).where(meta.c.name == REVISION))
            return int(found.scalar() or 0)

    def revision_at_a_glance(self) -> int | None:
        """As :meth:`revision`, at once; ``None``: it takes the long way to know."""
        return self._engine.glance.number(_REVISION_AT_A_GLANCE, REVISION)

    async def changed_since(self, revision: int) -> list[Key]:
        """Keys made or changed after ``revision``."""
        return await self._where(keys.c.revision > revision)

    async def _where(self, condition: ColumnElement[bool]) -> list[Key]:
        async with self._engine.reading() as connection:
            return [_key(row) for row in await connection.execute(_all().where(condition))]


def _own(condition: ColumnElement[bool], within: str | None) -> ColumnElement[bool]:
    return condition if within is None else condition & (keys.c.account_id == within)


def _unknown(name: str) -> ClientError:
    return ClientError(ErrorKind.NOT_FOUND, f"There is no active key {name!r}.", code="key_not_found")


def _listed(models: frozenset[str] | None) -> str | None:
    return None if models is None else json.dumps(sorted(models), ensure_ascii=False)


MOST_TAGS = 50
LONGEST_TAG = 100


def _sorted(tags: tuple[str, ...]) -> tuple[str, ...]:
    if len(tags) > MOST_TAGS or any(not tag.strip() or len(tag) > LONGEST_TAG for tag in tags):
        message = f"A key has up to {MOST_TAGS} tags of 1 to {LONGEST_TAG} characters."
        raise ClientError(ErrorKind.INVALID_REQUEST, message, code="invalid_tags", param="tags")
    return tuple(sorted({tag.strip() for tag in tags}))


def _unlimited(terms: KeyTerms, before: Key) -> bool:
    """A quota of its own ends it, unless both are said, which is refused."""
    return before.unlimited and terms.limit_nano is None if terms.unlimited is None else terms.unlimited


def _terms(limit_nano: int | None, unlimited: bool, limits: KeyLimits, tags: tuple[str, ...]) -> dict[str, object]:
    """Raises ``ClientError`` for a key that is limited and unlimited."""
    if unlimited and limit_nano is not None:
        message = "A key has a quota of its own or is unlimited, not both."
        raise ClientError(ErrorKind.INVALID_REQUEST, message, code="invalid_quota", param="quota")
    listed = json.dumps(tags, ensure_ascii=False) if tags else None
    return {"unlimited": unlimited, "limits": limits_text(limits), "tags": listed}


async def _changeable(connection: AsyncConnection, key_id: str) -> Key:
    """Raises ``ClientError`` CONFLICT for a revoked one."""
    key = _key((await connection.execute(_all().where(keys.c.id == key_id))).one())
    if key.revoked_at is not None:
        raise _is_revoked()
    return key


def _is_revoked() -> ClientError:
    return ClientError(ErrorKind.CONFLICT, "This key is revoked; make a new one.", code="key_revoked")


async def _check_free(connection: AsyncConnection, account_id: str, name: str) -> None:
    """Names are an account's own affair: nobody learns of another's."""
    active = (keys.c.account_id == account_id) & keys.c.revoked_at.is_(None)
    taken = select(keys.c.id).where(keys.c.name == name, active)
    if (await connection.execute(taken)).first() is not None:
        raise ClientError(
            ErrorKind.CONFLICT, f"There is a key {name!r} already; choose another name.", code="key_exists"
        )


async def _check_change(connection: AsyncConnection, before: Key, after: Key) -> None:
    if before.revoked_at is not None:
        raise _is_revoked()
    if after.limit_nano is not None and after.limit_nano < before.used_nano + before.held_nano:
        raise ClientError(
            ErrorKind.CONFLICT, "The key has used more than this limit; choose a higher one.", code="limit_below_used"
        )
    if after.name != before.name:
        await _check_free(connection, after.account_id, after.name)


async def _next_revision(connection: AsyncConnection) -> int:
    statement = sqlite_insert(meta).values(name=REVISION, value=1)
    bumped = statement.on_conflict_do_update(index_elements=["name"], set_={"value": meta.c.value + 1})
    return int((await connection.execute(bumped.returning(meta.c.value))).scalar_one())


async def tell_of_change(connection: AsyncConnection, account_id: str) -> None:
    """In the caller's write transaction: servers read this account's keys again."""
    revision = await _next_revision(connection)
    await connection.execute(update(keys).where(keys.c.account_id == account_id).values(revision=revision))


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
    terms = (c.models, c.expires_at, c.revoked_at, c.created_at, c.revision, c.unlimited, c.limits, c.tags)
    discount = accounts.c.discount_ppm.label("account_discount_ppm")
    return select(*columns, *terms, c.disabled_at, c.previous_hash, c.previous_until, discount).join(
        accounts, accounts.c.id == c.account_id
    )


def _key(row: Row[*tuple[Any, ...]]) -> Key:
    values = row._asdict()
    models, tags = values["models"], values["tags"]
    values["models"] = None if models is None else frozenset(json.loads(models))
    values["tags"] = () if tags is None else tuple(json.loads(tags))
    values["limits"] = read_limits(values["limits"])
    return Key(**values)

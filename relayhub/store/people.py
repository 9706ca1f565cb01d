"""People: who may sign in, as what. There is always an admin who can, once there has been one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Row, Select, delete, func, insert, select, update
from sqlalchemy.sql.elements import ColumnElement

from relayhub.sdk.clock import Clock
from relayhub.store.accounts import Account, insert_account
from relayhub.store.async_connection import AsyncConnection
from relayhub.store.audit import Actor, Change, record
from relayhub.store.engine import Engine
from relayhub.store.ids import new_account_id, new_person_id
from relayhub.store.schema import accounts, invites, people, sessions
from relayhub.types.errors import ClientError, ErrorKind
from relayhub.types.json import JsonObject
from relayhub.types.role import Role


@dataclass(frozen=True, slots=True)
class Person:
    """``name``: in lower case. ``account_id``: theirs; staff need none."""

    id: str
    name: str
    role: Role
    account_id: str | None
    created_at: float
    password_at: float
    disabled_at: float | None

    def audited(self, password_hash: str | None = None) -> JsonObject:
        """What the audit log shows. Of a new password nothing but that it is another one."""
        shown: JsonObject = {
            "name": self.name,
            "role": self.role.value,
            "account_id": self.account_id,
            "disabled": self.disabled_at is not None,
        }
        if password_hash is not None:
            shown["password_sha256"] = hashlib.sha256(password_hash.encode()).hexdigest()
        return shown


@dataclass(frozen=True, slots=True)
class NewPerson:
    """``account_id`` ``None``: a user gets an account of the same name, staff get none."""

    name: str
    password_hash: str
    role: Role
    account_id: str | None = None


@dataclass(frozen=True, slots=True)
class PersonChanges:
    """``None``: as it is."""

    role: Role | None = None
    disabled: bool | None = None
    account_id: str | None = None


class People:
    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    async def create(self, new: NewPerson, by: Actor) -> Person:
        """Raises ``ClientError`` CONFLICT if the name is taken, NOT_FOUND for an unknown account."""
        async with self._engine.writing() as connection:
            return await insert_person(connection, new, by, self._clock.now())

    async def accept(self, invite_hash: str, name: str, password_hash: str, by: Actor, *, first: bool) -> Person:
        """Use up an invite. ``first``: the one for the first admin, which is worth nothing once there is one. Raises
        ``ClientError`` PERMISSION, the same for every invite that is worth nothing, or as :meth:`create`."""
        now = self._clock.now()
        async with self._engine.writing() as connection:
            wanted = select(invites.c.id, invites.c.role, invites.c.account_id).where(
                invites.c.hash == invite_hash,
                invites.c.first.is_(first),
                invites.c.used_at.is_(None),
                invites.c.expires_at > now,
            )
            invite = (await connection.execute(wanted)).first()
            if invite is None or (first and await count_admins(connection)):
                raise worthless_invite()
            new = NewPerson(name, password_hash, Role(invite.role), invite.account_id)
            person = await insert_person(connection, new, by, now)
            used = update(invites).where(invites.c.id == invite.id).values(used_at=now, person_id=person.id)
            await connection.execute(used)
        return person

    async def needs_first(self) -> bool:
        """Whether nobody can sign in as admin yet."""
        async with self._engine.reading() as connection:
            return await count_admins(connection) == 0

    async def by_name(self, name: str) -> tuple[Person, str] | None:
        """The person, and the hash of their password."""
        async with self._engine.reading() as connection:
            row = (await connection.execute(_all(people.c.password_hash).where(people.c.name == name))).first()
        return None if row is None else (_person(row), str(row.password_hash))

    async def get(self, person_id: str) -> Person:
        """By id or name. Raises ``ClientError`` NOT_FOUND."""
        async with self._engine.reading() as connection:
            return await _get(connection, (people.c.id == person_id) | (people.c.name == person_id))

    async def page(self, after: str | None, limit: int) -> list[Person]:
        """In the order they were made, those after an id."""
        condition = people.c.id > (after or "")
        async with self._engine.reading() as connection:
            rows = await connection.execute(_all().where(condition).order_by(people.c.id).limit(limit))
            return [_person(row) for row in rows]

    async def update(self, person_id: str, changes: PersonChanges, by: Actor) -> Person:
        """Whoever loses rights is signed out everywhere. Raises ``ClientError``: NOT_FOUND, CONFLICT for the last admin who
        can sign in, INVALID_REQUEST for a user without an account."""
        now = self._clock.now()
        async with self._engine.writing() as connection:
            before = await _get(connection, (people.c.id == person_id) | (people.c.name == person_id))
            after = await _changed(connection, before, changes, now)
            if after == before:
                return before
            await _store(connection, after)
            if before.role is Role.ADMIN and before.disabled_at is None and await count_admins(connection) == 0:
                raise last_admin()
            if after.role is not before.role or after.disabled_at is not None:
                await connection.execute(delete(sessions).where(sessions.c.person_id == after.id))
            change = Change(by, "person.update", after.id, before.audited(), after.audited())
            await record(connection, change, now)
        return after

    async def set_password(self, person_id: str, password_hash: str, by: Actor, keep_session: str | None) -> None:
        """Ends every session but ``keep_session``. Raises ``ClientError`` NOT_FOUND."""
        now = self._clock.now()
        async with self._engine.writing() as connection:
            person = await _get(connection, people.c.id == person_id)
            own = select(people.c.password_hash).where(people.c.id == person_id)
            before = (await connection.execute(own)).scalar_one()
            values = {"password_hash": password_hash, "password_at": now}
            await connection.execute(update(people).where(people.c.id == person_id).values(values))
            others = sessions.c.id != (keep_session or "")
            await connection.execute(delete(sessions).where(sessions.c.person_id == person_id, others))
            change = Change(by, "person.password", person_id, person.audited(before), person.audited(password_hash))
            await record(connection, change, now)

    async def rehash(self, person_id: str, before: str, after: str) -> None:
        """The same password, hashed at today's cost. Nothing if it was changed meanwhile."""
        which = (people.c.id == person_id) & (people.c.password_hash == before)
        async with self._engine.writing() as connection:
            await connection.execute(update(people).where(which).values(password_hash=after))


async def insert_person(connection: AsyncConnection, new: NewPerson, by: Actor, now: float) -> Person:
    """In the caller's write transaction; raises as :meth:`People.create`."""
    if (await connection.execute(select(people.c.id).where(people.c.name == new.name))).first() is not None:
        raise ClientError(ErrorKind.CONFLICT, f"There is a person {new.name!r} already.", code="person_exists")
    account_id = new.account_id
    if account_id is None and new.role is Role.USER:
        account_id = (await _own_account(connection, new.name, by, now)).id
    elif account_id is not None:
        await _check_account(connection, account_id)
    person = Person(new_person_id(), new.name, new.role, account_id, now, now, None)
    await connection.execute(insert(people).values(password_hash=new.password_hash, **_values(person)))
    change = Change(by, "person.create", person.id, None, person.audited(new.password_hash))
    await record(connection, change, now)
    return person


async def _own_account(connection: AsyncConnection, name: str, by: Actor, now: float) -> Account:
    """Under another name if somebody's account has this one: who registers need not learn of it."""
    taken = (await connection.execute(select(accounts.c.id).where(accounts.c.name == name))).first() is not None
    free = f"{name} ({new_account_id()})" if taken else name
    return await insert_account(connection, free, unlimited=False, by=by, now=now)


async def count_admins(connection: AsyncConnection) -> int:
    """Those who can sign in."""
    admins = select(func.count()).where(people.c.role == Role.ADMIN.value, people.c.disabled_at.is_(None))
    return int((await connection.execute(admins)).scalar_one())


async def _changed(connection: AsyncConnection, before: Person, changes: PersonChanges, now: float) -> Person:
    after = before
    if changes.role is not None:
        after = replace(after, role=changes.role)
    if changes.account_id is not None:
        await _check_account(connection, changes.account_id)
        after = replace(after, account_id=changes.account_id)
    if changes.disabled is not None and changes.disabled != (before.disabled_at is not None):
        after = replace(after, disabled_at=now if changes.disabled else None)
    if after.role is Role.USER and after.account_id is None:
        raise ClientError(
            ErrorKind.INVALID_REQUEST, "A user needs an account; name one.", code="account_needed", param="account"
        )
    return after


async def _check_account(connection: AsyncConnection, account_id: str) -> None:
    if (await connection.execute(select(accounts.c.id).where(accounts.c.id == account_id))).first() is None:
        raise ClientError(ErrorKind.NOT_FOUND, f"There is no account {account_id!r}.", code="account_not_found")


async def _store(connection: AsyncConnection, person: Person) -> None:
    await connection.execute(update(people).where(people.c.id == person.id).values(_values(person)))


async def _get(connection: AsyncConnection, condition: ColumnElement[bool]) -> Person:
    row = (await connection.execute(_all().where(condition))).first()
    if row is None:
        raise ClientError(ErrorKind.NOT_FOUND, "There is no such person.", code="person_not_found")
    return _person(row)


def last_admin() -> ClientError:
    return ClientError(
        ErrorKind.CONFLICT,
        "This is the last admin who can sign in. Make somebody else an admin first.",
        code="last_admin",
    )


def worthless_invite() -> ClientError:
    """One answer for used, expired, revoked and unknown invites."""
    return ClientError(
        ErrorKind.PERMISSION, "This invite is not valid, or not any more. Ask for a new one.", code="invalid_invite"
    )


def _all(*more: ColumnElement[str]) -> Select[*tuple[Any, ...]]:
    c = people.c
    columns = (c.id, c.name, c.role, c.account_id, c.created_at, c.password_at, c.disabled_at)
    return select(*columns, *more)


def _person(row: Row[*tuple[Any, ...]]) -> Person:
    return Person(row.id, row.name, Role(row.role), row.account_id, row.created_at, row.password_at, row.disabled_at)


def _values(person: Person) -> dict[str, str | float | None]:
    return {
        "id": person.id,
        "name": person.name,
        "role": person.role.value,
        "account_id": person.account_id,
        "created_at": person.created_at,
        "password_at": person.password_at,
        "disabled_at": person.disabled_at,
    }

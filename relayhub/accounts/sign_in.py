"""Signing in and out, registering, and passwords."""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass

import structlog

from relayhub.accounts.passwords import Passwords, check_password
from relayhub.accounts.secret import INVITE_PREFIX, SESSION_PREFIX, SETUP_PREFIX, hash_secret, new_secret, well_formed
from relayhub.accounts.throttle import Throttle
from relayhub.store.audit import Actor
from relayhub.store.invites import Invite
from relayhub.store.people import NewPerson, Person, worthless_invite
from relayhub.store.sessions import Session
from relayhub.store.store import Store
from relayhub.types.errors import ClientError, ErrorKind, invalid_request
from relayhub.types.role import Role

SETUP_TTL_S = 86400.0
"""How long a token for the first admin is good; each start prints a new one."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._@+\-]{1,63}")

log = structlog.get_logger("relayhub.people")


@dataclass(frozen=True, slots=True)
class SessionTerms:
    """``ttl_s``: from signing in; ``idle_s``: without being used."""

    ttl_s: float
    idle_s: float


@dataclass(frozen=True, slots=True)
class SignedIn:
    """``token`` is for the cookie alone; ``csrf`` for the page that made the request."""

    person: Person
    session: Session
    token: str
    csrf: str


@dataclass(frozen=True, slots=True)
class IssuedInvite:
    """``token`` is shown once and kept nowhere."""

    invite: Invite
    token: str


class SignIn:
    """``registration_open``: anybody may register; ``invites``: whoever has an invite may."""

    def __init__(
        self,
        store: Store,
        passwords: Passwords,
        throttle: Throttle,
        terms: SessionTerms,
        *,
        registration_open: bool,
        invites: bool,
    ) -> None:
        self._store = store
        self._passwords = passwords
        self._throttle = throttle
        self._terms = terms
        self._open = registration_open
        self._invites = invites

    def renewed(self, terms: SessionTerms, *, registration_open: bool, invites: bool) -> SignIn:
        """On other terms; what was learnt of those who try passwords stays."""
        return SignIn(
            self._store, self._passwords, self._throttle, terms, registration_open=registration_open, invites=invites
        )

    async def sign_in(self, name: str, password: str, by: Actor, agent: str | None) -> SignedIn:
        """Raises ``ClientError``: AUTHENTICATION, the same for a wrong name and a wrong password, and for somebody who is
        disabled; RATE_LIMITED after too many of those."""
        name = name.strip().lower()
        async with self._throttle.signing_in(name, by.client):
            found = await self._store.people.by_name(name)
            matches = await self._passwords.matches(found[1] if found else None, password)
            if found is None or not matches or found[0].disabled_at is not None:
                log.warning("sign_in.failed", client=by.client, request_id=by.request_id)
                raise ClientError(ErrorKind.AUTHENTICATION, "The name or the password is wrong.", code="wrong_password")
        if self._passwords.outdated(found[1]):
            await self._store.people.rehash(found[0].id, found[1], await self._passwords.hash(password))
        return await self._begin(found[0], by, agent)

    async def set_up(self, token: str, name: str, password: str, by: Actor, agent: str | None) -> SignedIn:
        """Make the first admin, with the token that the server printed. Raises ``ClientError`` PERMISSION for any other, and
        once there is an admin."""
        return await self._accept(token, SETUP_PREFIX, name, password, by, agent)

    async def register(self, name: str, password: str, invite: str | None, by: Actor, agent: str | None) -> SignedIn:
        """Raises ``ClientError``: PERMISSION if the config does not allow it or the invite is worth nothing, CONFLICT if
        the name is taken."""
        if invite is not None and (self._invites or self._open):
            return await self._accept(invite, INVITE_PREFIX, name, password, by, agent)
        if not self._open:
            raise ClientError(
                ErrorKind.PERMISSION, "This server does not take registrations like this.", code="registration_closed"
            )
        name = checked_name(name)
        check_password(password, name)
        await self._throttle.registering(by.client)
        person = await self.create(name, password, Role.USER, None, _as_person(name, by))
        return await self._begin(person, by, agent)

    async def _accept(
        self, token: str, prefix: str, name: str, password: str, by: Actor, agent: str | None
    ) -> SignedIn:
        name = checked_name(name)
        check_password(password, name)
        async with self._throttle.accepting(by.client):
            if not well_formed(token, prefix):
                raise worthless_invite()
            password_hash = await self._passwords.hash(password)
            person = await self._store.people.accept(
                hash_secret(token), name, password_hash, _as_person(name, by), first=prefix == SETUP_PREFIX
            )
        return await self._begin(person, by, agent)

    async def _begin(self, person: Person, by: Actor, agent: str | None) -> SignedIn:
        token = new_secret(SESSION_PREFIX)
        actor = _as_person(person.name, by)
        session = await self._store.sessions.begin(person.id, hash_secret(token), self._terms.ttl_s, actor, agent)
        return SignedIn(person, session, token, csrf_of(token))

    async def who(self, token: str) -> tuple[Person, Session] | None:
        """Whose session this is, if it is in force."""
        if not well_formed(token, SESSION_PREFIX):
            return None
        session = await self._store.sessions.find(hash_secret(token), self._terms.idle_s)
        return None if session is None else (await self._store.people.get(session.person_id), session)

    async def change_password(self, person: Person, current: str, new: str, session_id: str, by: Actor) -> None:
        """Signs the person out everywhere else. Raises ``ClientError``: PERMISSION for a wrong current password."""
        check_password(new, person.name)
        async with self._throttle.signing_in(person.name, by.client):
            found = await self._store.people.by_name(person.name)
            if not await self._passwords.matches(found[1] if found else None, current):
                raise ClientError(
                    ErrorKind.PERMISSION, "The current password is wrong.", code="wrong_password", param="current"
                )
        await self._store.people.set_password(person.id, await self._passwords.hash(new), by, session_id)

    async def create(self, name: str, password: str, role: Role, account_id: str | None, by: Actor) -> Person:
        """Raises ``ClientError`` CONFLICT if the name is taken."""
        name = checked_name(name)
        check_password(password, name)
        new = NewPerson(name, await self._passwords.hash(password), role, account_id)
        return await self._store.people.create(new, by)

    async def reset_password(self, person_id: str, new: str, by: Actor) -> Person:
        """By an admin; ends all sessions. Raises ``ClientError`` NOT_FOUND."""
        person = await self._store.people.get(person_id)
        check_password(new, person.name)
        await self._store.people.set_password(person.id, await self._passwords.hash(new), by, None)
        return person

    async def invite(self, role: Role, account_id: str | None, ttl_s: float, by: Actor) -> IssuedInvite:
        """Raises ``ClientError`` NOT_FOUND for an unknown account."""
        if account_id is not None:
            await self._store.accounts.get(account_id)
        token = new_secret(INVITE_PREFIX)
        return IssuedInvite(await self._store.invites.create(hash_secret(token), role, account_id, ttl_s, by), token)


async def offer_setup(store: Store) -> str | None:
    """A token that makes the first admin, once; ``None`` if there is one already."""
    token = new_secret(SETUP_PREFIX)
    return token if await store.invites.offer_first(hash_secret(token), SETUP_TTL_S) else None


def csrf_of(token: str) -> str:
    """What a page proves with that it, not another site, makes a request with the session's cookie."""
    return hashlib.sha256(f"csrf:{token}".encode()).hexdigest()


def proves_csrf(token: str, sent: str | None) -> bool:
    return sent is not None and hmac.compare_digest(csrf_of(token).encode(), sent.encode("utf-8", "replace"))


def checked_name(name: str) -> str:
    """In lower case. Raises ``ClientError`` for what cannot be a name."""
    lower = name.strip().lower()
    if not _NAME.fullmatch(lower):
        raise invalid_request(
            "A name has 2 to 64 characters: letters a-z, digits and . _ @ + -, beginning with a letter or digit.",
            code="invalid_name",
            param="name",
        )
    return lower


def _as_person(name: str, by: Actor) -> Actor:
    return Actor(f"person:{name}", by.request_id, by.client)

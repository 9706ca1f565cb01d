"""Signing in and out, one's own sessions and password, the first admin, and registration."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from relayhub.accounts.passwords import MAX_CHARS
from relayhub.accounts.sign_in import SignedIn, csrf_of
from relayhub.store.people import Person
from relayhub.store.sessions import Session
from relayhub.types.role import Role
from relayhub.web.admin.caller import Caller
from relayhub.web.admin.endpoint import EVERYBODY, NOBODY, AnyEndpoint, Asked, Endpoint, In
from relayhub.web.admin.shapes import Done, Input, NewSecret, Nothing, Output, Page, PersonName, moment


class Status(Output):
    """What a sign-in page has to know."""

    registration: Literal["closed", "invite", "open"]
    needs_setup: bool = Field(description="Nobody can sign in as admin yet: the server printed a token at its start.")


class Credentials(Input):
    name: str = Field(max_length=100)
    password: str = Field(max_length=MAX_CHARS, json_schema_extra={"format": "password"})


class NewLogin(Input):
    name: PersonName
    password: NewSecret


class Setup(NewLogin):
    token: str = Field(max_length=100, description="As the server printed it.")


class Registration(NewLogin):
    invite: str | None = Field(None, max_length=100)


class NewPassword(Input):
    current: str = Field(max_length=MAX_CHARS, json_schema_extra={"format": "password"})
    password: NewSecret


class Who(Output):
    """``name``: a person's, or an admin key's. ``csrf``: for changes by cookie; ``null`` for an admin key."""

    kind: Literal["person", "admin_key"]
    id: str | None
    name: str
    role: Role
    account_id: str | None
    csrf: str | None


class SessionShown(Output):
    id: str
    current: bool
    created_at: datetime
    seen_at: datetime
    expires_at: datetime
    client: str | None = Field(description="The address it was begun from.")
    agent: str | None = Field(description="What the browser called itself.")


class Ended(Output):
    ended: int


def _who(person: Person, csrf: str) -> Who:
    return Who(kind="person", id=person.id, name=person.name, role=person.role, account_id=person.account_id, csrf=csrf)


def _began(asked: Asked[In], done: SignedIn) -> Who:
    asked.cookie = done.token
    return _who(done.person, done.csrf)


def session_shown(session: Session, current: str) -> SessionShown:
    """``current``: the id of the session that asks, if it may be one of them."""
    return SessionShown(
        id=session.id,
        current=session.id == current,
        created_at=moment(session.created_at),
        seen_at=moment(session.seen_at),
        expires_at=moment(session.expires_at),
        client=session.client,
        agent=session.agent,
    )


async def show_status(asked: Asked[Nothing]) -> Status:
    registration = asked.context.config.accounts.registration
    return Status(registration=registration, needs_setup=await asked.context.store.people.needs_first())


async def set_up(asked: Asked[Setup]) -> Who:
    given = asked.given
    done = await asked.context.sign_in.set_up(given.token, given.name, given.password, asked.by, asked.agent)
    return _began(asked, done)


async def register(asked: Asked[Registration]) -> Who:
    given = asked.given
    done = await asked.context.sign_in.register(given.name, given.password, given.invite, asked.by, asked.agent)
    return _began(asked, done)


async def sign_in(asked: Asked[Credentials]) -> Who:
    done = await asked.context.sign_in.sign_in(asked.given.name, asked.given.password, asked.by, asked.agent)
    return _began(asked, done)


async def show_session(asked: Asked[Nothing]) -> Who:
    return _shown(asked.who)


def _shown(caller: Caller) -> Who:
    if caller.signed_in is not None:
        return _who(caller.signed_in.person, csrf_of(caller.signed_in.token))
    name = caller.by.name.partition(":")[2]
    return Who(kind="admin_key", id=None, name=name, role=caller.role, account_id=None, csrf=None)


async def sign_out(asked: Asked[Nothing]) -> Done:
    own = asked.signed_in
    await asked.context.store.sessions.end(own.session.id, own.person.id, asked.by)
    asked.cookie = ""
    return Done()


async def list_sessions(asked: Asked[Nothing]) -> Page[SessionShown]:
    own = asked.signed_in
    found = await asked.context.store.sessions.of(own.person.id, asked.context.config.accounts.session_idle)
    return Page(items=tuple(session_shown(session, own.session.id) for session in found), next=None)


async def end_session(asked: Asked[Nothing]) -> Done:
    own = asked.signed_in
    await asked.context.store.sessions.end(asked.path["id"], own.person.id, asked.by)
    return Done()


async def sign_out_everywhere(asked: Asked[Nothing]) -> Ended:
    ended = await asked.context.store.sessions.end_all(asked.signed_in.person.id, asked.by)
    asked.cookie = ""
    return Ended(ended=ended)


async def change_password(asked: Asked[NewPassword]) -> Done:
    own, given = asked.signed_in, asked.given
    await asked.context.sign_in.change_password(own.person, given.current, given.password, own.session.id, asked.by)
    return Done()


ENDPOINTS: tuple[AnyEndpoint, ...] = (
    Endpoint("GET", "/status", "Whether one can register or set up", NOBODY, Nothing, Status, show_status, twin=None),
    Endpoint(
        "POST",
        "/setup",
        "Make the first admin, with the printed token",
        NOBODY,
        Setup,
        Who,
        set_up,
        201,
        twin="people create",
    ),
    Endpoint(
        "POST",
        "/registration",
        "Register, as the config allows",
        NOBODY,
        Registration,
        Who,
        register,
        201,
        twin="people create",
    ),
    Endpoint("POST", "/session", "Sign in", NOBODY, Credentials, Who, sign_in, 201, twin=None),
    Endpoint("GET", "/session", "Who is asking", EVERYBODY, Nothing, Who, show_session, twin=None),
    Endpoint("DELETE", "/session", "Sign out", EVERYBODY, Nothing, Done, sign_out, twin="people sign-out"),
    Endpoint(
        "GET",
        "/sessions",
        "Where one is signed in",
        EVERYBODY,
        Nothing,
        Page[SessionShown],
        list_sessions,
        twin="people sessions",
    ),
    Endpoint(
        "DELETE",
        "/sessions",
        "Sign out everywhere",
        EVERYBODY,
        Nothing,
        Ended,
        sign_out_everywhere,
        twin="people sign-out",
    ),
    Endpoint(
        "DELETE",
        "/sessions/{id}",
        "End one of one's sessions",
        EVERYBODY,
        Nothing,
        Done,
        end_session,
        twin="people sign-out",
    ),
    Endpoint(
        "POST",
        "/password",
        "Change one's password",
        EVERYBODY,
        NewPassword,
        Done,
        change_password,
        twin="people password",
    ),
)

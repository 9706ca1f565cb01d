"""People, their roles, and invites."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from relayhub.store.invites import Invite
from relayhub.store.people import Person, PersonChanges
from relayhub.types.role import Role
from relayhub.web.admin.endpoint import ADMINS, AnyEndpoint, Asked, Endpoint
from relayhub.web.admin.session import Ended, SessionShown, session_shown
from relayhub.web.admin.shapes import (
    WHOLE,
    Input,
    NewSecret,
    Nothing,
    Output,
    Page,
    Paging,
    PersonName,
    moment,
    moment_or_none,
    page,
)

MAX_INVITE_S = 90 * 86400


class PersonShown(Output):
    id: str
    name: str
    role: Role
    account_id: str | None
    created_at: datetime
    password_at: datetime = Field(description="When the password was last changed.")
    disabled_at: datetime | None


class NewPerson(Input):
    name: PersonName
    password: NewSecret
    role: Role
    account_id: str | None = Field(
        None, max_length=64, description="Default: a user gets an account of the same name, staff none."
    )


class PersonUpdate(Input):
    """What is left out stays as it is."""

    role: Role | None = None
    disabled: bool | None = None
    account_id: str | None = Field(None, max_length=64)


class PasswordReset(Input):
    password: NewSecret


class NewInvite(Input):
    role: Role = Role.USER
    account_id: str | None = Field(None, max_length=64, description="Default: a user gets an account of their own.")
    ttl_s: Annotated[int, Field(gt=0, le=MAX_INVITE_S), WHOLE] = 7 * 86400


class InviteShown(Output):
    id: str
    role: Role
    account_id: str | None
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None
    person_id: str | None


class InviteMade(InviteShown):
    token: str = Field(description="Shown this once.")


def shown(person: Person) -> PersonShown:
    return PersonShown(
        id=person.id,
        name=person.name,
        role=person.role,
        account_id=person.account_id,
        created_at=moment(person.created_at),
        password_at=moment(person.password_at),
        disabled_at=moment_or_none(person.disabled_at),
    )


def invite_shown(invite: Invite) -> InviteShown:
    return InviteShown(
        id=invite.id,
        role=invite.role,
        account_id=invite.account_id,
        created_at=moment(invite.created_at),
        expires_at=moment(invite.expires_at),
        used_at=moment_or_none(invite.used_at),
        person_id=invite.person_id,
    )


async def list_people(asked: Asked[Paging]) -> Page[PersonShown]:
    given = asked.given
    found = await asked.context.store.people.page(given.after, given.limit + 1)
    return page(found, given.limit, shown, lambda person: person.id)


async def create_person(asked: Asked[NewPerson]) -> PersonShown:
    given = asked.given
    sign_in = asked.context.sign_in
    return shown(await sign_in.create(given.name, given.password, given.role, given.account_id, asked.by))


async def show_person(asked: Asked[Nothing]) -> PersonShown:
    return shown(await asked.context.store.people.get(asked.path["id"]))


async def update_person(asked: Asked[PersonUpdate]) -> PersonShown:
    given = asked.given
    changes = PersonChanges(given.role, given.disabled, given.account_id)
    return shown(await asked.context.store.people.update(asked.path["id"], changes, asked.by))


async def reset_password(asked: Asked[PasswordReset]) -> PersonShown:
    return shown(await asked.context.sign_in.reset_password(asked.path["id"], asked.given.password, asked.by))


async def list_sessions_of(asked: Asked[Nothing]) -> Page[SessionShown]:
    store, idle_s = asked.context.store, asked.context.config.accounts.session_idle
    person, own = await store.people.get(asked.path["id"]), asked.who.signed_in
    current = "" if own is None else own.session.id
    found = await store.sessions.of(person.id, idle_s)
    return Page(items=tuple(session_shown(session, current) for session in found), next=None)


async def end_sessions(asked: Asked[Nothing]) -> Ended:
    person = await asked.context.store.people.get(asked.path["id"])
    return Ended(ended=await asked.context.store.sessions.end_all(person.id, asked.by))


async def list_invites(asked: Asked[Paging]) -> Page[InviteShown]:
    given = asked.given
    found = await asked.context.store.invites.page(given.after, given.limit + 1)
    return page(found, given.limit, invite_shown, lambda invite: invite.id)


async def create_invite(asked: Asked[NewInvite]) -> InviteMade:
    given = asked.given
    made = await asked.context.sign_in.invite(given.role, given.account_id, given.ttl_s, asked.by)
    return InviteMade(token=made.token, **dict(invite_shown(made.invite)))


async def revoke_invite(asked: Asked[Nothing]) -> InviteShown:
    return invite_shown(await asked.context.store.invites.revoke(asked.path["id"], asked.by))


ENDPOINTS: tuple[AnyEndpoint, ...] = (
    Endpoint(
        "GET",
        "/people/{id}/sessions",
        "Where a person is signed in",
        ADMINS,
        Nothing,
        Page[SessionShown],
        list_sessions_of,
        twin="people sessions",
    ),
    Endpoint("GET", "/people", "List the people", ADMINS, Paging, Page[PersonShown], list_people, twin="people list"),
    Endpoint(
        "POST", "/people", "Create a person", ADMINS, NewPerson, PersonShown, create_person, 201, twin="people create"
    ),
    Endpoint("GET", "/people/{id}", "Show a person", ADMINS, Nothing, PersonShown, show_person, twin="people show"),
    Endpoint(
        "PATCH",
        "/people/{id}",
        "Change role or account, disable",
        ADMINS,
        PersonUpdate,
        PersonShown,
        update_person,
        twin="people update",
    ),
    Endpoint(
        "POST",
        "/people/{id}/password",
        "Set a password",
        ADMINS,
        PasswordReset,
        PersonShown,
        reset_password,
        twin="people password",
    ),
    Endpoint(
        "DELETE",
        "/people/{id}/sessions",
        "Sign a person out everywhere",
        ADMINS,
        Nothing,
        Ended,
        end_sessions,
        twin="people sign-out",
    ),
    Endpoint(
        "GET", "/invites", "List the invites", ADMINS, Paging, Page[InviteShown], list_invites, twin="invites list"
    ),
    Endpoint(
        "POST", "/invites", "Invite somebody", ADMINS, NewInvite, InviteMade, create_invite, 201, twin="invites create"
    ),
    Endpoint(
        "DELETE",
        "/invites/{id}",
        "Revoke an invite",
        ADMINS,
        Nothing,
        InviteShown,
        revoke_invite,
        twin="invites revoke",
    ),
)

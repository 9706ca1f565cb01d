"""Relay keys: who may call models. A user's own are theirs to make. Changes act on this server at once, on others within a
second."""

from __future__ import annotations

import contextlib
from datetime import datetime
from typing import Annotated

from pydantic import Field

from relayhub.accounts.issuing import issue_key
from relayhub.store.keys import Key, KeyTerms
from relayhub.types.errors import ClientError, ErrorKind, HubError
from relayhub.types.role import Role
from relayhub.web.admin.context import AdminContext
from relayhub.web.admin.endpoint import EVERYBODY, OPERATORS, AnyEndpoint, Asked, Endpoint
from relayhub.web.admin.shapes import (
    Input,
    Moment,
    Name,
    Nothing,
    Output,
    Page,
    Paging,
    Units,
    moment,
    moment_or_none,
    page,
    seconds,
)

CHANGERS = OPERATORS | {Role.USER}

Models = Annotated[
    tuple[Annotated[str, Field(min_length=1, max_length=200)], ...], Field(min_length=1, max_length=1000)
]


class KeyShown(Output):
    """In units. ``quota`` ``null``: bounded by the account alone; ``models`` ``null``: all."""

    id: str
    name: str
    hint: str
    account_id: str
    account: str
    quota: int | None
    used: int
    models: tuple[str, ...] | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class NewKey(Input):
    name: Name
    account_id: str | None = Field(
        None, max_length=64, description="Default: the user's own, for staff the default account."
    )
    quota: Units | None = Field(None, description="What it may spend in all; default: what its account has.")
    models: Models | None = Field(None, description="A name may end in *. Default: all.")
    expires_at: Moment | None = None


class KeyMade(KeyShown):
    secret: str = Field(description="Shown this once.")


class KeyUpdate(Input):
    """What is left out stays as it is; ``null`` lifts a limit."""

    name: Name | None = None
    quota: Units | None = None
    models: Models | None = None
    expires_at: Moment | None = None


def shown(context: AdminContext, key: Key) -> KeyShown:
    return KeyShown(
        id=key.id,
        name=key.name,
        hint=key.hint,
        account_id=key.account_id,
        account=key.account_name,
        quota=None if key.limit_nano is None else context.units(key.limit_nano),
        used=context.spent_units(key.used_nano + key.held_nano),
        models=None if key.models is None else tuple(sorted(key.models)),
        created_at=moment(key.created_at),
        expires_at=moment_or_none(key.expires_at),
        revoked_at=moment_or_none(key.revoked_at),
    )


async def _act_at_once(context: AdminContext) -> None:
    """The change is made; if the store fails just now, this server sees it as soon as all the others."""
    with contextlib.suppress(HubError):
        await context.keyring.refresh()


async def list_keys(asked: Asked[Paging]) -> Page[KeyShown]:
    given = asked.given
    found = await asked.context.store.keys.page(given.after, given.limit + 1, asked.who.within)
    return page(found, given.limit, lambda key: shown(asked.context, key), lambda key: key.id)


async def create_key(asked: Asked[NewKey]) -> KeyMade:
    given, context = asked.given, asked.context
    made = await issue_key(
        context.store.keys,
        given.name,
        await _account(asked),
        limit_nano=None if given.quota is None else context.nano(given.quota, "quota"),
        models=None if given.models is None else frozenset(given.models),
        expires_at=seconds(given.expires_at),
        by=asked.by,
    )
    await _act_at_once(context)
    return KeyMade(secret=made.secret, **dict(shown(context, made.key)))


async def _account(asked: Asked[NewKey]) -> str:
    """The account of a new key: for a user there is but their own."""
    wanted, within = asked.given.account_id, asked.who.within
    if within is not None:
        if wanted not in (None, within):
            raise ClientError(ErrorKind.NOT_FOUND, f"There is no account {wanted!r}.", code="account_not_found")
        return within
    accounts = asked.context.store.accounts
    return (await accounts.default() if wanted is None else await accounts.get(wanted)).id


async def show_key(asked: Asked[Nothing]) -> KeyShown:
    key = await asked.context.store.keys.get(asked.path["id"], asked.who.within)
    return shown(asked.context, key)


async def update_key(asked: Asked[KeyUpdate]) -> KeyShown:
    given, context, within = asked.given, asked.context, asked.who.within
    key = await context.store.keys.get(asked.path["id"], within)
    said = given.model_fields_set
    terms = KeyTerms(
        name=given.name or key.name,
        limit_nano=key.limit_nano
        if "quota" not in said
        else (None if given.quota is None else context.nano(given.quota, "quota")),
        models=key.models if "models" not in said else (None if given.models is None else frozenset(given.models)),
        expires_at=key.expires_at if "expires_at" not in said else seconds(given.expires_at),
    )
    changed = await context.store.keys.update(key.id, terms, asked.by, within)
    await _act_at_once(context)
    return shown(context, changed)


async def revoke_key(asked: Asked[Nothing]) -> KeyShown:
    key = await asked.context.store.keys.get(asked.path["id"], asked.who.within)
    revoked = await asked.context.store.keys.revoke(key.id, asked.by, asked.who.within)
    await _act_at_once(asked.context)
    return shown(asked.context, revoked)


ENDPOINTS: tuple[AnyEndpoint, ...] = (
    Endpoint("GET", "/keys", "List the keys", EVERYBODY, Paging, Page[KeyShown], list_keys),
    Endpoint("POST", "/keys", "Create a key", CHANGERS, NewKey, KeyMade, create_key, 201),
    Endpoint("GET", "/keys/{id}", "Show a key", EVERYBODY, Nothing, KeyShown, show_key),
    Endpoint("PATCH", "/keys/{id}", "Change a key", CHANGERS, KeyUpdate, KeyShown, update_key),
    Endpoint("DELETE", "/keys/{id}", "Revoke a key", CHANGERS, Nothing, KeyShown, revoke_key),
)

"""Admin keys."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from relayhub.accounts.issuing import issue_admin_key
from relayhub.store.admin_keys import AdminKey
from relayhub.types.role import Role
from relayhub.web.admin.endpoint import ADMINS, AnyEndpoint, Asked, Endpoint
from relayhub.web.admin.shapes import (
    Input,
    Moment,
    Name,
    Nothing,
    Output,
    Page,
    Paging,
    moment,
    moment_or_none,
    page,
    seconds,
)


class AdminKeyShown(Output):
    id: str
    name: str
    hint: str
    role: Role
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class NewAdminKey(Input):
    name: Name
    role: Literal["admin", "operator", "viewer"]
    expires_at: Moment | None = None


class AdminKeyMade(AdminKeyShown):
    secret: str = Field(description="Shown this once.")


def shown(key: AdminKey) -> AdminKeyShown:
    return AdminKeyShown(
        id=key.id,
        name=key.name,
        hint=key.hint,
        role=key.role,
        created_at=moment(key.created_at),
        expires_at=moment_or_none(key.expires_at),
        revoked_at=moment_or_none(key.revoked_at),
    )


async def list_admin_keys(asked: Asked[Paging]) -> Page[AdminKeyShown]:
    given = asked.given
    found = await asked.context.store.admin_keys.page(given.after, given.limit + 1)
    return page(found, given.limit, shown, lambda key: key.id)


async def create_admin_key(asked: Asked[NewAdminKey]) -> AdminKeyMade:
    given = asked.given
    keys = asked.context.store.admin_keys
    made = await issue_admin_key(keys, given.name, Role(given.role), expires_at=seconds(given.expires_at), by=asked.by)
    return AdminKeyMade(secret=made.secret, **dict(shown(made.key)))


async def revoke_admin_key(asked: Asked[Nothing]) -> AdminKeyShown:
    return shown(await asked.context.store.admin_keys.revoke(asked.path["id"], asked.by))


ENDPOINTS: tuple[AnyEndpoint, ...] = (
    Endpoint(
        "GET",
        "/admin-keys",
        "List the admin keys",
        ADMINS,
        Paging,
        Page[AdminKeyShown],
        list_admin_keys,
        twin="admin-keys list",
    ),
    Endpoint(
        "POST",
        "/admin-keys",
        "Create an admin key",
        ADMINS,
        NewAdminKey,
        AdminKeyMade,
        create_admin_key,
        201,
        twin="admin-keys create",
    ),
    Endpoint(
        "DELETE",
        "/admin-keys/{id}",
        "Revoke an admin key",
        ADMINS,
        Nothing,
        AdminKeyShown,
        revoke_admin_key,
        twin="admin-keys revoke",
    ),
)

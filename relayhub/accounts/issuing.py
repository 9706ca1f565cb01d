"""Making keys: the one place where a secret exists as text on our side, for as long as it takes to show it."""

from __future__ import annotations

from dataclasses import dataclass

from relayhub.accounts.secret import ADMIN_PREFIX, hash_secret, hint, new_secret
from relayhub.store.admin_keys import AdminKey, AdminKeys
from relayhub.store.audit import SYSTEM, Actor
from relayhub.store.keys import Key, Keys, NewKey
from relayhub.types.key_limits import NO_LIMITS, KeyLimits
from relayhub.types.role import Role


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """``secret`` is shown once and kept nowhere."""

    key: Key
    secret: str


async def issue_key(
    keys: Keys,
    name: str,
    account_id: str,
    *,
    limit_nano: int | None = None,
    models: frozenset[str] | None = None,
    expires_at: float | None = None,
    unlimited: bool = False,
    limits: KeyLimits = NO_LIMITS,
    tags: tuple[str, ...] = (),
    by: Actor = SYSTEM,
) -> IssuedKey:
    """Raises ``ClientError``: CONFLICT if an active key of this account has this name; INVALID_REQUEST as
    :meth:`relayhub.store.keys.Keys.create`."""
    secret = new_secret()
    new = NewKey(
        account_id, name, hash_secret(secret), hint(secret), limit_nano, models, expires_at, unlimited, limits, tags
    )
    return IssuedKey(await keys.create(new, by), secret)


async def rotate_key(
    keys: Keys, name: str, until: float, *, by: Actor = SYSTEM, within: str | None = None
) -> IssuedKey:
    """A fresh secret for a key, which keeps everything else; the one before is good ``until`` then. Raises ``ClientError`` as
    :meth:`relayhub.store.keys.Keys.rotate`."""
    secret = new_secret()
    return IssuedKey(await keys.rotate(name, (hash_secret(secret), hint(secret)), until, by, within), secret)


async def replace_key(keys: Keys, name: str, account_id: str) -> IssuedKey:
    """A fresh key under a name whose former key of this account, if there is one, is revoked."""
    for key in await keys.all():
        if key.name == name and key.account_id == account_id and key.revoked_at is None:
            await keys.revoke(key.id)
    return await issue_key(keys, name, account_id)


@dataclass(frozen=True, slots=True)
class IssuedAdminKey:
    """``secret`` is shown once and kept nowhere."""

    key: AdminKey
    secret: str


async def issue_admin_key(
    keys: AdminKeys, name: str, role: Role, *, expires_at: float | None = None, by: Actor
) -> IssuedAdminKey:
    """Raises ``ClientError`` CONFLICT if an active admin key has this name."""
    secret = new_secret(ADMIN_PREFIX)
    key = await keys.create(name, hash_secret(secret), hint(secret, ADMIN_PREFIX), role, expires_at, by)
    return IssuedAdminKey(key, secret)

"""Making keys: the one place where a secret exists as text on our side, for as long as it takes to show it."""

from __future__ import annotations

from dataclasses import dataclass

from relayhub.accounts.secret import hash_secret, hint, new_secret
from relayhub.store.keys import Key, Keys, NewKey


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
) -> IssuedKey:
    """Raises ``ClientError`` CONFLICT if an active key has this name."""
    secret = new_secret()
    new = NewKey(account_id, name, hash_secret(secret), hint(secret), limit_nano, models, expires_at)
    return IssuedKey(await keys.create(new), secret)


async def replace_key(keys: Keys, name: str, account_id: str) -> IssuedKey:
    """A fresh key under a name whose former key, if there is one, is revoked."""
    if any(key.name == name and key.revoked_at is None for key in await keys.all()):
        await keys.revoke(name)
    return await issue_key(keys, name, account_id)

"""The keys in memory: no query on the hot path, and changes made elsewhere act within a second."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from relayhub.accounts.secret import hash_secret, well_formed
from relayhub.sdk.clock import Clock
from relayhub.store.keys import Key, Keys
from relayhub.types.call import Principal
from relayhub.types.errors import ClientError, ErrorKind, HubError

REFRESH_S = 0.5
"""Half of the second within which a change must act (L17)."""

log = structlog.get_logger("relayhub.keys")


@dataclass(frozen=True, slots=True)
class _Known:
    principal: Principal
    expires_at: float | None
    revoked: bool


class KeyRing:
    """A snapshot of all keys, by the hash of their secret; :meth:`run` keeps it fresh. The ledger decides again in its
    transaction, so a key that was revoked a moment ago cannot spend."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._known: dict[str, _Known] = {}
        self._by_id: dict[str, _Known] = {}
        self._revision = -1

    def authenticate(self, credential: str, now: float) -> Principal:
        """The principal of a key. Raises ``ClientError``: unknown or expired (401 everywhere), revoked (by dialect)."""
        return _active(self._known.get(hash_secret(credential)) if well_formed(credential) else None, now)

    def holder(self, key_id: str, now: float) -> Principal:
        """The principal of a key that was shown before; otherwise as :meth:`authenticate`."""
        return _active(self._by_id.get(key_id), now)

    async def refresh(self) -> None:
        """Read what changed since the last time. Raises ``HubError`` if the store cannot be read."""
        if await self._keys.revision() == self._revision:
            return
        changed = await self._keys.changed_since(self._revision)
        self._known |= {key.hash: _known(key) for key in changed}
        self._by_id |= {key.id: _known(key) for key in changed}
        self._revision = max((key.revision for key in changed), default=max(self._revision, 0))

    async def run(self, clock: Clock) -> None:
        """Refresh until cancelled; a store in trouble leaves the last snapshot in force."""
        failing = False
        while True:
            await clock.sleep(REFRESH_S)
            try:
                await self.refresh()
                failing = False
            except HubError as error:
                if not failing:
                    log.warning("keys.refresh_failed", detail=error.detail)
                failing = True


def _active(known: _Known | None, now: float) -> Principal:
    if known is None:
        raise ClientError(
            ErrorKind.AUTHENTICATION,
            "The API key is not valid. Check it for typing errors.",
            code="invalid_api_key",
        )
    if known.revoked:
        raise ClientError(ErrorKind.KEY_BLOCKED, "This API key has been revoked.", code="key_revoked")
    if known.expires_at is not None and known.expires_at <= now:
        raise ClientError(ErrorKind.AUTHENTICATION, "This API key has expired.", code="key_expired")
    return known.principal


def _known(key: Key) -> _Known:
    principal = Principal(key.id, key.name, key.account_id, key.models)
    return _Known(principal, key.expires_at, key.revoked_at is not None)

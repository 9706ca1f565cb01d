"""The keys in memory: no query on the hot path, and changes made elsewhere act within a second."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from relayhub.accounts.secret import hash_secret, well_formed
from relayhub.sdk.clock import Clock
from relayhub.store import refusals
from relayhub.store.keys import Key, Keys
from relayhub.types.call import Principal
from relayhub.types.errors import ClientError, ErrorKind, HubError
from relayhub.types.key_limits import parse_networks
from relayhub.types.rhythm import until_next

REFRESH_S = 0.5
"""Half of the second within which a change must act (L17)."""

log = structlog.get_logger("relayhub.keys")

OnBlocked = Callable[[str, ClientError], object]
"""Told the id of a key that was good and is not any more, and what its calls are refused with from now on."""


@dataclass(frozen=True, slots=True)
class _Known:
    """``previous_until``: until when the secret before the present one is good. ``unconditional``: the present one is
    good without a look at the clock."""

    principal: Principal
    hash: str
    expires_at: float | None
    blocked: Callable[[], ClientError] | None
    previous_hash: str | None
    previous_until: float | None
    unconditional: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "unconditional", self.blocked is None and self.expires_at is None)


class KeyRing:
    """A snapshot of all keys, by the hash of their secret; :meth:`run` keeps it fresh. The ledger decides again in its
    transaction, so a key that was revoked a moment ago cannot spend."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._known: dict[str, _Known] = {}
        self._by_id: dict[str, _Known] = {}
        self._revision = -1
        self._listeners: list[OnBlocked] = []

    def on_blocked(self, listener: OnBlocked) -> None:
        """Call ``listener`` once for every key that is revoked or disabled from now on. It must not raise or block."""
        self._listeners.append(listener)

    def authenticate(self, credential: str, now: float) -> Principal:
        """The principal of a key. Raises ``ClientError``: unknown, expired or replaced (401 everywhere), revoked or disabled
        (by dialect)."""
        secret_hash = fingerprint(credential)
        return _current(self._known.get(secret_hash), secret_hash, now)

    def recognise(self, secret_hash: str, clock: Clock) -> Principal:
        """As :meth:`authenticate`, by the :func:`fingerprint` of a credential that came before. The time is asked for only
        where it matters."""
        known = self._known.get(secret_hash)
        if known is not None and known.unconditional and known.hash == secret_hash:
            return known.principal
        return _current(known, secret_hash, clock.now())

    def holder(self, key_id: str, now: float) -> Principal:
        """The principal of a key that was shown before; otherwise as :meth:`authenticate`."""
        return _active(self._by_id.get(key_id), now)

    async def refresh(self) -> None:
        """Read what changed since the last time. Raises ``HubError`` if the store cannot be read."""
        newest = self._keys.revision_at_a_glance()
        if (await self._keys.revision() if newest is None else newest) == self._revision:
            return
        changed = await self._keys.changed_since(self._revision)
        for key in changed:
            self._learn(_known(key))
        self._revision = max((key.revision for key in changed), default=max(self._revision, 0))

    def _learn(self, known: _Known) -> None:
        key_id = known.principal.key_id
        before = self._by_id.get(key_id)
        if before is not None:
            for gone in {before.hash, before.previous_hash} - {None}:
                self._known.pop(gone or "", None)
        self._by_id[key_id] = self._known[known.hash] = known
        if known.previous_hash is not None:
            self._known[known.previous_hash] = known
        if known.blocked is not None and before is not None and before.blocked is None:
            for listener in self._listeners:
                listener(key_id, known.blocked())

    async def run(self, clock: Clock) -> None:
        """Refresh until cancelled; a store in trouble leaves the last snapshot in force."""
        failing = False
        while True:
            await clock.sleep(until_next(clock.monotonic(), REFRESH_S))
            try:
                await self.refresh()
                failing = False
            except HubError as error:
                if not failing:
                    log.warning("keys.refresh_failed", detail=error.detail)
                failing = True


def fingerprint(credential: str) -> str:
    """What the ring knows a credential by; empty for what is no key at all."""
    return hash_secret(credential) if well_formed(credential) else ""


def _current(known: _Known | None, secret_hash: str, now: float) -> Principal:
    """``secret_hash``: by which it was found, of its present secret or the one before."""
    principal = _active(known, now)
    if known is not None and known.hash != secret_hash and (known.previous_until or 0.0) <= now:
        raise ClientError(
            ErrorKind.AUTHENTICATION,
            "This API key was replaced by a new one, and its time is over. Use the new one.",
            code="key_rotated",
        )
    return principal


def _active(known: _Known | None, now: float) -> Principal:
    if known is None:
        raise ClientError(
            ErrorKind.AUTHENTICATION,
            "The API key is not valid. Check it for typing errors.",
            code="invalid_api_key",
        )
    if known.blocked is not None:
        raise known.blocked()
    if known.expires_at is not None and known.expires_at <= now:
        raise refusals.expired_key()
    return known.principal


def _known(key: Key) -> _Known:
    limits = key.limits
    principal = Principal(
        key.id,
        key.name,
        key.account_id,
        key.models,
        None if limits.providers is None else frozenset(limits.providers),
        None if limits.networks is None else parse_networks(limits.networks),
        limits.requests_per_minute,
        key.account_discount_ppm,
        limits.on_disconnect,
    )
    return _Known(principal, key.hash, key.expires_at, _blocked(key), key.previous_hash, key.previous_until)


def _blocked(key: Key) -> Callable[[], ClientError] | None:
    if key.revoked_at is not None:
        return refusals.revoked_key
    return None if key.disabled_at is None else refusals.disabled_key

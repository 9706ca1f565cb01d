"""Sealing what must not be readable in the database or its backups, under keys that can be changed while the hub runs."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from relayhub.store.errors import StoreError
from relayhub.store.key_file import ID_BYTES, KeyFile, VaultKey, new_key

LOOK_S = 0.5
"""No process seals with a key that was replaced longer ago."""

_NONCE_BYTES = 12
WITHOUT_ID = b"\x01"
_WITH_ID = b"\x02"
_HEAD_BYTES = len(_WITH_ID) + ID_BYTES

if TYPE_CHECKING:  # 8 MB, and many a hub never seals anything: loaded when it is first used
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

log = structlog.get_logger("relayhub.store")


class _Ring:
    """The keys of one moment, the newest first."""

    def __init__(self, keys: Sequence[VaultKey]) -> None:
        self.keys = tuple(keys)
        self.head = head_of(self.keys[0])
        self._secrets = {head_of(key): key.secret for key in self.keys}
        self._ciphers: dict[bytes, AESGCM] = {}

    def cipher(self, head: bytes) -> AESGCM | None:
        """``None`` for a key that is not among these."""
        if head in self._secrets and head not in self._ciphers:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM

            self._ciphers[head] = AESGCM(self._secrets[head])
        return self._ciphers.get(head)

    def ciphers(self) -> Iterator[AESGCM]:
        """The newest first."""
        return filter(None, map(self.cipher, self._secrets))

    @property
    def newest(self) -> AESGCM:
        return next(self.ciphers())


def head_of(key: VaultKey) -> bytes:
    """With what everything begins that was sealed with this key."""
    return _WITH_ID + key.id


class Vault:
    """AES-256-GCM, as good as Fernet and bound to a place besides. Seals with the newest key and opens with all; a file that
    was replaced is read again within :data:`LOOK_S`, and at once for a value whose key is unknown. Safe to share between
    tasks and threads."""

    def __init__(self, file: KeyFile, keys: Sequence[VaultKey]) -> None:
        self._file = file
        self._ring = _Ring(keys)
        self._stamp = file.stamp()
        self._looked_at = time.monotonic()

    @classmethod
    def beside(cls, database: Path, holds_sealed: Callable[[], bool] = lambda: False) -> Vault:
        """With the key file of this database, made if there is none. ``holds_sealed``: whether something in the database
        was sealed before, so that a missing file is a loss and not a beginning; asked only then. Raises ``StoreError``
        for that, and for a key file that cannot be used."""
        file = KeyFile.of(database)
        keys = file.read()
        if keys is None and holds_sealed():
            keys = file.read()  # another process may have made it, and used it, since the first look
            if keys is None:
                raise StoreError(
                    f"{file.path}: the key file is missing, and the database holds what was sealed with it; restore it "
                    f"from a backup, or write a new one to go on without that: {file.making}"
                )
        return cls(file, file.create(new_key(time.time())) if keys is None else keys)

    @classmethod
    def opening(cls, database: Path) -> Vault | None:
        """With the key file of this database as it is; ``None`` if there is none. Raises ``StoreError``."""
        file = KeyFile.of(database)
        keys = file.read()
        return None if keys is None else cls(file, keys)

    @property
    def keys(self) -> tuple[VaultKey, ...]:
        return self._current().keys

    def derived(self, purpose: str) -> bytes:
        """32 bytes for another use, of the newest key."""
        return self._current().keys[0].derived(purpose)

    def all_derived(self, purpose: str) -> list[bytes]:
        """The same of each key, the newest first: what was signed before a rotation stays good until it ends."""
        return [key.derived(purpose) for key in self._current().keys]

    def seal(self, text: bytes, bound_to: str) -> bytes:
        """``bound_to``: where the value belongs; it cannot be opened elsewhere."""
        ring = self._current()
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return ring.head + nonce + ring.newest.encrypt(nonce, text, bound_to.encode())

    def unseal(self, sealed: bytes, bound_to: str) -> bytes | None:
        """``None`` for what was sealed with another key, for another place, or has been changed."""
        opened = self.tried(sealed, bound_to)
        if opened is None:
            log.warning("vault.unreadable", belongs_to=bound_to.partition(":")[0])
        return opened

    def tried(self, sealed: bytes, bound_to: str) -> bytes | None:
        """The same without a line in the log."""
        place = bound_to.encode()
        if sealed[:1] == WITHOUT_ID:
            return self._open_with_any(sealed[1:], place)
        return _opened(self._cipher_of(sealed[:_HEAD_BYTES]), sealed[_HEAD_BYTES:], place)

    def _open_with_any(self, text: bytes, place: bytes) -> bytes | None:
        """Values of releases whose vault had one key do not say which it was."""
        for cipher in self._current().ciphers():
            if (opened := _opened(cipher, text, place)) is not None:
                return opened
        return None

    def _cipher_of(self, head: bytes) -> AESGCM | None:
        found = self._ring.cipher(head)
        if found is None:
            self._look()  # another process may have begun to use a new key this moment
            found = self._ring.cipher(head)
        return found

    def _current(self) -> _Ring:
        if time.monotonic() - self._looked_at >= LOOK_S:
            self._look()
        return self._ring

    def _look(self) -> None:
        self._looked_at = time.monotonic()
        stamp = self._file.stamp()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            keys = self._file.read()
        except StoreError as error:
            log.error("vault.key_file", problem=str(error))  # noqa: TRY400  # one line; nothing is lost yet
            return
        if keys is None:
            log.error("vault.key_file", problem=f"{self._file.path}: the key file is gone; restore it from a backup.")
        elif keys != self._ring.keys:
            self._ring = _Ring(keys)
            log.info("vault.keys_changed", keys=[key.id.hex() for key in keys])


def _opened(cipher: AESGCM | None, text: bytes, place: bytes) -> bytes | None:
    if cipher is None:
        return None
    from cryptography.exceptions import InvalidTag

    try:
        return cipher.decrypt(text[:_NONCE_BYTES], text[_NONCE_BYTES:], place)
    except (InvalidTag, ValueError):
        return None

"""Sealing what must not be readable in the database or its backups. The key is a file beside the database."""

from __future__ import annotations

import contextlib
import hmac
import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path

import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from relayhub.store.errors import StoreError

KEY_BYTES = 32
_NONCE_BYTES = 12
_FORMAT = b"\x01"

log = structlog.get_logger("relayhub.store")


def key_path(database: Path) -> Path:
    return database.with_name(f"{database.name}.key")


class Vault:
    """AES-256-GCM under one key. Safe to share between tasks and threads."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._cipher = AESGCM(key)

    def derived(self, purpose: str) -> bytes:
        """32 bytes for another use, from which nothing about the key can be learned."""
        return hmac.new(self._key, b"relayhub:" + purpose.encode(), "sha256").digest()

    @classmethod
    def beside(cls, database: Path, holds_sealed: Callable[[], bool] = lambda: False) -> Vault:
        """With the key file of this database, made if there is none. ``holds_sealed``: whether something in the database
        was sealed before, so that a missing file is a loss and not a beginning; asked only then. Raises ``StoreError``
        for that, for a key file that others can read, and for one that is none."""
        path = key_path(database)
        try:
            key = _read(path)
            if key is None and holds_sealed():
                key = _read(path)  # another process may have made it, and used it, since the first look
                if key is None:
                    raise _lost(path)
            return cls(_create(path) if key is None else key)
        except OSError as error:
            raise StoreError(f"{path}: the key file cannot be used: {error.strerror}.") from error

    def seal(self, text: bytes, bound_to: str) -> bytes:
        """``bound_to``: where the value belongs; it cannot be opened elsewhere."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return _FORMAT + nonce + self._cipher.encrypt(nonce, text, bound_to.encode())

    def unseal(self, sealed: bytes, bound_to: str) -> bytes | None:
        """``None`` for what was sealed with another key, for another place, or has been changed."""
        nonce, text = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        if sealed[:1] != _FORMAT:
            return None
        try:
            return self._cipher.decrypt(nonce, text, bound_to.encode())
        except (InvalidTag, ValueError):
            log.warning("vault.unreadable", belongs_to=bound_to.partition(":")[0])
            return None


def _read(path: Path) -> bytes | None:
    """``None`` if there is no file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        mode = os.fstat(descriptor).st_mode
        key = file.read(KEY_BYTES + 1) if stat.S_ISREG(mode) else b""
    if len(key) != KEY_BYTES:
        raise StoreError(
            f"{path}: this is not a key file, which has {KEY_BYTES} bytes; restore it from a backup, or write a new one to"
            f" begin again (what was sealed with the old one is lost): {_making(path)}"
        )
    if mode & 0o077:
        raise StoreError(f"{path}: others can read the key; run `chmod 600 {path}`.")
    return key


def _lost(path: Path) -> StoreError:
    return StoreError(
        f"{path}: the key file is missing, and the database holds what was sealed with it; restore it from a backup, or"
        f" write a new one to go on without that: {_making(path)}"
    )


def _making(path: Path) -> str:
    return f"`(umask 077; head -c {KEY_BYTES} /dev/urandom > {path})`."


def _create(path: Path) -> bytes:
    """Of several processes that do this at once, one makes the file and all take its key."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(draft)
    finally:
        draft.unlink()
    _sync_folder(path.parent)
    key = _read(path)
    assert key is not None
    return key


def _sync_folder(folder: Path) -> None:
    """Nothing may be sealed with a key that a loss of power could take."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

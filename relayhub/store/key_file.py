"""The file with the vault's keys: beside the database, never in it. 32 bytes are one key; after a rotation it is text with
one key a line, the newest first."""

from __future__ import annotations

import contextlib
import hmac
import os
import secrets
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from relayhub.store.errors import StoreError

KEY_BYTES = 32
ID_BYTES = 4
MAX_KEYS = 8
"""Each value that no key opens is tried with all of them only where it does not name its key."""

_HEADER = "relayhub vault keys, newest first"
_LONGEST = 4096

Stamp = tuple[int, int, int]
"""Changes when the file is replaced."""


@dataclass(frozen=True, slots=True)
class VaultKey:
    """``made_at``: unix seconds."""

    secret: bytes = field(repr=False)
    made_at: float

    @property
    def id(self) -> bytes:
        """Stands in front of what was sealed with the key. Nothing about the key can be learned from it."""
        return self.derived("key-id")[:ID_BYTES]

    def derived(self, purpose: str) -> bytes:
        """32 bytes for another use."""
        return hmac.new(self.secret, b"relayhub:" + purpose.encode(), "sha256").digest()


def new_key(now: float) -> VaultKey:
    return VaultKey(secrets.token_bytes(KEY_BYTES), now)


def key_path(database: Path) -> Path:
    return database.with_name(f"{database.name}.key")


@dataclass(frozen=True, slots=True)
class KeyFile:
    """Raises ``StoreError`` for a file that cannot be used, that others can read, or that holds no keys."""

    path: Path

    @classmethod
    def of(cls, database: Path) -> KeyFile:
        return cls(key_path(database))

    def stamp(self) -> Stamp | None:
        """``None`` if it cannot be looked at."""
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def read(self) -> tuple[VaultKey, ...] | None:
        """The newest first; ``None`` if there is no file."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unusable(error) from error
        try:
            found = os.fstat(descriptor)
            content = os.read(descriptor, _LONGEST) if stat.S_ISREG(found.st_mode) else b""
        finally:
            os.close(descriptor)
        keys = _parsed(content, found.st_mtime)
        if not keys:
            raise StoreError(
                f"{self.path}: this is not a key file; restore it from a backup, or write a new one to begin again "
                f"(what was sealed with the old one is lost): {self.making}"
            )
        if found.st_mode & 0o077:
            raise StoreError(f"{self.path}: others can read the key; run `chmod 600 {self.path}`.")
        return keys

    def create(self, key: VaultKey) -> tuple[VaultKey, ...]:
        """Of several processes that do this at once, one makes the file and all take its key."""
        try:
            draft = self._draft(key.secret)
            try:
                with contextlib.suppress(FileExistsError):
                    self.path.hardlink_to(draft)
            finally:
                draft.unlink()
            _sync_folder(self.path.parent)
        except OSError as error:
            raise self._unusable(error) from error
        keys = self.read()
        assert keys is not None
        return keys

    def replace(self, keys: Sequence[VaultKey]) -> None:
        """In one step, and durable when this returns. For one process at a time."""
        lines = [_HEADER, *(f"{key.made_at:.0f} {key.secret.hex()}" for key in keys), ""]
        try:
            draft = self._draft("\n".join(lines).encode())
            try:
                draft.replace(self.path)
            finally:
                draft.unlink(missing_ok=True)
            _sync_folder(self.path.parent)
        except OSError as error:
            raise self._unusable(error) from error

    @property
    def making(self) -> str:
        """The command for a new one."""
        return f"`(umask 077; head -c {KEY_BYTES} /dev/urandom > {self.path})`."

    def _draft(self, content: bytes) -> Path:
        draft = self.path.with_name(f"{self.path.name}.{secrets.token_hex(8)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        return draft

    def _unusable(self, error: OSError) -> StoreError:
        return StoreError(f"{self.path}: the key file cannot be used: {error.strerror}.")


def _parsed(content: bytes, changed_at: float) -> tuple[VaultKey, ...]:
    """Empty for what is no key file."""
    if len(content) == KEY_BYTES:
        return (VaultKey(content, changed_at),)
    try:
        header, *lines = content.decode("ascii").splitlines()
        keys = tuple(_line(line) for line in lines if line.strip())
    except ValueError:
        return ()
    whole = header == _HEADER and len(keys) <= MAX_KEYS and all(len(key.secret) == KEY_BYTES for key in keys)
    return keys if whole else ()


def _line(line: str) -> VaultKey:
    made_at, secret = line.split()
    return VaultKey(bytes.fromhex(secret), float(made_at))


def _sync_folder(folder: Path) -> None:
    """Nothing may be sealed with a key that a loss of power could take."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

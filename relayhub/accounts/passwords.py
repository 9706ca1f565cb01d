"""Passwords: argon2id, in threads of their own, a few at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from relayhub.types.errors import ClientError, ErrorKind, HubError, invalid_request

T = TypeVar("T")

MIN_CHARS = 12
MAX_CHARS = 256
MIN_DIFFERENT = 5
AT_ONCE = 2
"""Hashes computed at a time: each takes memory and a core."""
MAX_WAITING = 32
"""Beyond so many the rest is refused, so that nobody can make sign-in an attack on the machine."""


@dataclass(frozen=True, slots=True)
class PasswordCost:
    """Argon2id's parameters: the second choice of RFC 9106, in one lane."""

    rounds: int = 3
    memory_kib: int = 64 << 10
    lanes: int = 1


class Passwords:
    """Create on the loop that uses it."""

    def __init__(self, cost: PasswordCost = PasswordCost()) -> None:  # frozen
        self._hasher = PasswordHasher(time_cost=cost.rounds, memory_cost=cost.memory_kib, parallelism=cost.lanes)
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="relayhub-password")
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """Raises ``HubError`` UNAVAILABLE if too many wait."""
        return await self._in_turn(lambda: self._hasher.hash(_plain(password)))

    async def matches(self, password_hash: str | None, password: str) -> bool:
        """``None``, for somebody who does not exist, takes as long and matches nothing. Raises as :meth:`hash`."""
        return await self._in_turn(lambda: self._verify(password_hash, password))

    def outdated(self, password_hash: str) -> bool:
        """Whether it was made with other parameters than new ones are."""
        return self._hasher.check_needs_rehash(password_hash)

    def _verify(self, password_hash: str | None, password: str) -> bool:
        if password_hash is None:
            self._hasher.hash(_plain(password))
            return False
        try:
            return self._hasher.verify(password_hash, _plain(password))
        except (VerificationError, InvalidHashError):
            return False

    async def _in_turn(self, work: Callable[[], T]) -> T:
        if self._waiting >= MAX_WAITING:
            raise HubError(
                ErrorKind.UNAVAILABLE,
                "Too many people are signing in at the moment. Try again shortly.",
                code="busy",
                retry_after_s=2.0,
            )
        self._waiting += 1
        hashing = asyncio.get_running_loop().run_in_executor(self._threads, work)
        hashing.add_done_callback(self._done)
        return await hashing

    def _done(self, _hashing: asyncio.Future[T]) -> None:
        """Also when its caller has left; the thread then finishes what it has begun, but no other is started for it."""
        self._waiting -= 1


def _plain(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")


def check_password(password: str, name: str) -> None:
    """Raises ``ClientError`` for one that is too easy to guess or too long."""
    if not MIN_CHARS <= len(password) <= MAX_CHARS:
        raise weak_password(f"A password has {MIN_CHARS} to {MAX_CHARS} characters.")
    folded = password.casefold()
    if len(set(folded)) < MIN_DIFFERENT or folded.replace(name.casefold(), "") == "":
        raise weak_password("This password is too easy to guess: use more different characters, and not the name.")


def weak_password(message: str) -> ClientError:
    return invalid_request(message, code="weak_password", param="password")

"""Identifiers: a ULID behind a prefix that says what it names. They sort by the time of their making, to the millisecond."""

from __future__ import annotations

import os
import time

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_CHARS = _ALPHABET.encode() * 8
"""What each random byte becomes: five of its bits are one character."""

_RANDOM_LENGTH = 16
_MOMENT_LENGTH = 10

_STOCK = 256
"""Identifiers that one question to the system's generator is enough for."""

_PIECES = tuple(slice(at, at + _RANDOM_LENGTH) for at in range(0, _STOCK * _RANDOM_LENGTH, _RANDOM_LENGTH))
"""Of what it answers: one for each."""

_LAST_TWO = tuple(first + second for first in _ALPHABET for second in _ALPHABET)
"""Characters of a moment, by its last ten bits."""


def new_id(prefix: str) -> str:
    """``prefix`` and the 26 characters of a fresh ULID: 48 bits of milliseconds, 80 from the system's generator."""
    return f"{prefix}{_moment_text(time.time_ns() // 1_000_000)}{_random_text(1)}"


class Ids:
    """The same for those who need many: in the order of their making also within a millisecond, each one greater than the one
    before. Each question to the system gives up the interpreter's lock, so its answers are fetched in stock, and used in
    their order: to guess the next one of a moment means to guess 72 bits. Use in one thread."""

    __slots__ = ("_moment", "_moment_text", "_second", "_second_text", "_stock", "_until_ns")

    def __init__(self) -> None:
        self._stock: list[str] = []
        """The smallest one last."""
        self._moment = 0
        self._moment_text = ""
        self._until_ns = 0
        """When it ends; if the clock goes back, it goes on."""
        self._second = -1
        """Or nearly one: what its moments have in common is all but their last two characters."""
        self._second_text = ""

    def new(self, prefix: str) -> str:
        now_ns = time.time_ns()
        if now_ns >= self._until_ns or not self._stock:
            self._begin(now_ns // 1_000_000)
        return f"{prefix}{self._moment_text}{self._stock.pop()}"

    def _begin(self, moment: int) -> None:
        """A moment later than the last one."""
        if not self._stock:
            self._refill()
            moment = max(moment, self._moment + 1)  # what comes may be smaller than what was given in this one
        second = moment >> 10
        if second != self._second:
            self._second, self._second_text = second, _moment_text(moment)[:-2]
        self._moment, self._until_ns = moment, (moment + 1) * 1_000_000
        self._moment_text = self._second_text + _LAST_TWO[moment & 1023]

    def _refill(self) -> None:
        self._stock = sorted(map(_random_text(_STOCK).__getitem__, _PIECES), reverse=True)


def _random_text(number: int) -> str:
    """The random part of so many of them."""
    return os.urandom(number * _RANDOM_LENGTH).translate(_CHARS).decode()


def _moment_text(moment: int) -> str:
    return "".join([_ALPHABET[moment >> 5 * place & 31] for place in reversed(range(_MOMENT_LENGTH))])

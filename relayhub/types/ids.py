"""Identifiers: a ULID behind a prefix that says what it names. They sort by the time of their making, to the millisecond."""

from __future__ import annotations

import os
import time

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = tuple(first + second for first in _ALPHABET for second in _ALPHABET)
_RANDOM_BYTES = 10
_RANDOM_BITS = 8 * _RANDOM_BYTES


_STEP = (1 << 64) - 1
"""So much greater, at most, is the next one of a moment: nobody guesses it from the one before."""

_STOCK = 256
"""Identifiers that one question to the system's generator is enough for."""


def new_id(prefix: str) -> str:
    """``prefix`` and the 26 characters of a fresh ULID: 48 bits of milliseconds, 80 from the system's generator."""
    return _text(prefix, _number(os.urandom(_RANDOM_BYTES)))


class Ids:
    """The same for those who need many: in the order of their making also within a millisecond, each one greater than the one
    before. Each question to the system gives up the interpreter's lock, so its answers are fetched in stock. Use in one
    thread."""

    __slots__ = ("_at", "_last", "_stock")

    def __init__(self) -> None:
        self._stock = b""
        self._at = 0
        self._last = 0

    def new(self, prefix: str) -> str:
        at = self._at
        if at == len(self._stock):
            self._stock, at = os.urandom(_STOCK * _RANDOM_BYTES), 0
        self._at = at + _RANDOM_BYTES
        number = _number(self._stock[at : self._at])
        if number >> _RANDOM_BITS <= self._last >> _RANDOM_BITS:  # the same moment, or the clock has gone back
            number = self._last + 1 + (number & _STEP)
        self._last = number
        return _text(prefix, number)


def _number(random: bytes) -> int:
    return (time.time_ns() // 1_000_000 << _RANDOM_BITS) | int.from_bytes(random, "big")


def _text(prefix: str, number: int) -> str:
    pairs = _PAIRS
    return (
        f"{prefix}{pairs[number >> 120]}{pairs[number >> 110 & 1023]}{pairs[number >> 100 & 1023]}"
        f"{pairs[number >> 90 & 1023]}{pairs[number >> 80 & 1023]}{pairs[number >> 70 & 1023]}"
        f"{pairs[number >> 60 & 1023]}{pairs[number >> 50 & 1023]}{pairs[number >> 40 & 1023]}"
        f"{pairs[number >> 30 & 1023]}{pairs[number >> 20 & 1023]}{pairs[number >> 10 & 1023]}{pairs[number & 1023]}"
    )

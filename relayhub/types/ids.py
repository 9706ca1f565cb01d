"""Identifiers: a ULID behind a prefix that says what it names. They sort by the time of their making, to the millisecond."""

from __future__ import annotations

import os
import time

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = tuple(first + second for first in _ALPHABET for second in _ALPHABET)
_RANDOM_BYTES = 10
_RANDOM_BITS = 8 * _RANDOM_BYTES
_RANDOM, _HALF = (1 << _RANDOM_BITS) - 1, (1 << _RANDOM_BITS // 2) - 1
_MOMENT_LENGTH = 10

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

    __slots__ = ("_at", "_moment", "_moment_text", "_random", "_stock")

    def __init__(self) -> None:
        self._stock = b""
        self._at = 0
        self._moment = 0
        self._moment_text = ""
        self._random = 0

    def new(self, prefix: str) -> str:
        at = self._at
        if at == len(self._stock):
            self._stock, at = os.urandom(_STOCK * _RANDOM_BYTES), 0
        self._at = end = at + _RANDOM_BYTES
        random, moment = int.from_bytes(self._stock[at:end], "big"), time.time_ns() // 1_000_000
        if moment <= self._moment:  # the same one, or the clock has gone back
            moment, random = self._moment, self._random + 1 + (random & _STEP)
            if random >> _RANDOM_BITS:
                moment, random = moment + 1, random & _RANDOM
        if moment != self._moment:
            self._moment, self._moment_text = moment, _text("", moment << _RANDOM_BITS)[:_MOMENT_LENGTH]
        self._random = random
        pairs, first, second = _PAIRS, random >> 40, random & _HALF
        return (
            f"{prefix}{self._moment_text}"
            f"{pairs[first >> 30]}{pairs[first >> 20 & 1023]}{pairs[first >> 10 & 1023]}{pairs[first & 1023]}"
            f"{pairs[second >> 30]}{pairs[second >> 20 & 1023]}{pairs[second >> 10 & 1023]}{pairs[second & 1023]}"
        )


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

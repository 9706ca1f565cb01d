"""Heads that have come before, on whatever connection: what a client sends differs in the length of the body and in nothing
else."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b

from relayhub.web.quick.head import QuickHead, read_head

KEPT_HEADS = 512
"""Of the clients and keys, about, that are in use at a time."""

LONGEST_KEPT = 4 << 10
"""Bytes: whoever has no key must not fill the memory."""

_LENGTH = b"ength: "
_BEFORE_LENGTH = (b"\r\nContent-L", b"\r\ncontent-l")
"""As nearly all write it."""

_BEGINNING = len(_BEFORE_LENGTH[0])

_MOST_DIGITS = 12


class KnownHeads:
    """Reads heads as :func:`read_head` does. Known by a hash: a credential stands in each, which is not kept."""

    __slots__ = ("_fingerprint", "_known")

    def __init__(self, fingerprint: Callable[[str], str]) -> None:
        self._fingerprint = fingerprint
        self._known: dict[bytes, QuickHead] = {}

    def __len__(self) -> int:
        """How many are known."""
        return len(self._known)

    def read(self, block: bytes) -> tuple[QuickHead, int] | None:
        """See :func:`read_head`. One with the same lines but for that of the length, which stands by itself, is the same."""
        before, digits, after = around_length(block)
        if not digits or len(block) > LONGEST_KEPT:
            return read_head(block, self._fingerprint)
        key = blake2b(before + after).digest()
        known = self._known.get(key)
        return self._learn(key, read_head(block, self._fingerprint)) if known is None else (known, int(digits))

    def _learn(self, key: bytes, found: tuple[QuickHead, int] | None) -> tuple[QuickHead, int] | None:
        if found is not None:
            if len(self._known) >= KEPT_HEADS:
                del self._known[next(iter(self._known))]  # the oldest
            self._known[key] = found[0]
        return found


def around_length(block: bytes) -> tuple[bytes, bytes, bytes]:
    """What stands before the digits of the length, they, and what stands behind them. All are empty where it is written
    otherwise, or missing."""
    before, found, rest = block.partition(_LENGTH)  # one search for both, and the quickest there is
    while found:
        if before[-_BEGINNING:] in _BEFORE_LENGTH:
            digits, ended, after = rest.partition(b"\r\n")
            if digits.isdigit() and len(digits) <= _MOST_DIGITS:
                return before + found, digits, ended + after
            break
        further, then, rest = rest.partition(_LENGTH)  # it is some other line's
        before, found = before + found + further, then
    return b"", b"", b""


def length_between(block: bytes, before: bytes, after: bytes) -> int | None:
    """Of the body, where ``block`` is the head around whose length those two were, but for that length."""
    digits = block.removeprefix(before).removesuffix(after)
    size = len(digits)
    if size > _MOST_DIGITS or not before or size + len(before) + len(after) != len(block):
        return None  # one of the two was not there to be removed
    return int(digits) if digits.isdigit() else None

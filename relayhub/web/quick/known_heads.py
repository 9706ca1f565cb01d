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

_LENGTHS = (b"\r\nContent-Length: ", b"\r\ncontent-length: ")
"""As nearly all write it."""

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

    def read(self, block: bytes) -> QuickHead | None:
        """See :func:`read_head`. One with the same lines but for that of the length, which stands by itself, is the same but
        for the length."""
        at = _after_name(block)
        end = block.find(b"\r\n", at)
        digits = block[at:end]
        if at < 0 or not digits.isdigit() or len(digits) > _MOST_DIGITS or len(block) > LONGEST_KEPT:
            return read_head(block, self._fingerprint)
        key = blake2b(block[:at] + block[end:]).digest()
        known = self._known.get(key)
        if known is None:
            return self._learn(key, read_head(block, self._fingerprint))
        length = int(digits)
        if length == known.length:
            return known
        headers = {**known.headers, "content-length": digits.decode()}
        return QuickHead(known.path, length, known.fingerprint, headers, known.forwarded)

    def _learn(self, key: bytes, head: QuickHead | None) -> QuickHead | None:
        if head is not None:
            if len(self._known) >= KEPT_HEADS:
                del self._known[next(iter(self._known))]  # the oldest
            self._known[key] = head
        return head


def _after_name(block: bytes) -> int:
    """Where the length stands; -1: it is written otherwise, or missing."""
    for name in _LENGTHS:
        at = block.find(name)
        if at >= 0:
            return at + len(name)
    return -1

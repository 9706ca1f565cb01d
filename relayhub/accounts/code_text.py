"""Redemption codes as text: a prefix, then 28 characters of an alphabet without look-alikes (140 bits) in groups of four.

``REDEEM-7KQ4-…``. People copy them by hand, so case, blanks and dashes do not matter, and what can be mistaken for a
character of the alphabet counts as that one.
"""

from __future__ import annotations

import hashlib
import re
import secrets

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
RANDOM_CHARS = 28
GROUP = 4
MAX_PREFIX = 16
HINT_CHARS = 4

_PREFIX = re.compile(rf"[A-Z0-9]{{1,{MAX_PREFIX}}}")
_ALIKE = str.maketrans({"O": "0", "I": "1", "L": "1"})
_FILLING = re.compile(r"[\s\-–—_]+")
_SHAPE = re.compile(rf"[0-9A-Z]{{1,{MAX_PREFIX}}}[{ALPHABET}]{{{RANDOM_CHARS}}}")
_MAX_TEXT = 200


def is_prefix(text: str) -> bool:
    """Capital letters and digits."""
    return _PREFIX.fullmatch(text) is not None


def new_code(prefix: str) -> str:
    """A fresh code. Show it once; keep :func:`hash_code` of it."""
    random = "".join(secrets.choice(ALPHABET) for _ in range(RANDOM_CHARS))
    groups = [random[start : start + GROUP] for start in range(0, RANDOM_CHARS, GROUP)]
    return "-".join([prefix, *groups])


def hash_code(text: str) -> str | None:
    """SHA-256 in hex of what was meant; ``None`` for what cannot be a code."""
    if len(text) > _MAX_TEXT:
        return None
    plain = _FILLING.sub("", text).upper().translate(_ALIKE)
    return hashlib.sha256(plain.encode()).hexdigest() if _SHAPE.fullmatch(plain) else None


def code_hint(code: str) -> str:
    """What a list may show."""
    return f"{code.partition('-')[0]}-…-{code[-HINT_CHARS:]}"

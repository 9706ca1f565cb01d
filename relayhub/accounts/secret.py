"""Secrets as text: a prefix that says what it opens (``sk_live_``: an API key), 32 random base62 characters (190 bits), 6 of
checksum. Only their hash is kept."""

from __future__ import annotations

import hashlib
import re
import secrets
import string
import zlib

PREFIX = "sk_live_"
ADMIN_PREFIX = "ak_live_"
"""Of admin keys."""
SESSION_PREFIX = "ss_"
INVITE_PREFIX = "in_"
SETUP_PREFIX = "setup_"
RANDOM_CHARS = 32
CHECKSUM_CHARS = 6
ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
HINT_CHARS = 4

_SHAPE = re.compile(rf"([0-9A-Za-z]{{{RANDOM_CHARS}}})([0-9A-Za-z]{{{CHECKSUM_CHARS}}})")


def new_secret(prefix: str = PREFIX) -> str:
    """A fresh one. Show it once; keep :func:`hash_secret` of it."""
    random = "".join(secrets.choice(ALPHABET) for _ in range(RANDOM_CHARS))
    return f"{prefix}{random}{_checksum(random)}"


def well_formed(text: str, prefix: str = PREFIX) -> bool:
    """Whether this can be one at all: junk, typing errors and secrets of another kind are refused without a look-up."""
    match = _SHAPE.fullmatch(text[len(prefix) :]) if text.startswith(prefix) else None
    return match is not None and _checksum(match[1]) == match[2]


def hash_secret(text: str) -> str:
    """SHA-256 in hex. It has 190 random bits, so there is nothing for a slow hash to protect."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def hint(text: str, prefix: str = PREFIX) -> str:
    """What a list may show: enough to recognise it, not to use it."""
    return f"{prefix}…{text[-HINT_CHARS:]}"


def _checksum(random: str) -> str:
    """CRC-32 in base62, so that scanners and this server can tell a key from its look-alikes."""
    number = zlib.crc32(random.encode())
    digits = []
    for _ in range(CHECKSUM_CHARS):
        number, digit = divmod(number, len(ALPHABET))
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))

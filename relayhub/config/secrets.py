"""Which values are secret, and how they are kept out of what people are shown."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import get_args

from pydantic import BaseModel, SecretBytes, SecretStr

MASK = "***"

_SECRET_NAME = re.compile(
    r"(^|[_-]|api|access|secret|private)keys?$"
    r"|(^|[_-]|access|auth)(?<!per_)token$"
    r"|password|passwd|passphrase|secret|credential|authorization|cookie",
    re.IGNORECASE,
)
_USERINFO = re.compile(r"(?<=://)[^/\s@'\"]+(?=@)")
_SECRET_LINE = re.compile(r"""["']?(?P<name>[\w-]+)["']?\s*:\s*(?P<value>[^\s#].*)""")
_ANY_KEY = re.compile(r"""^\s*(?:-\s+)*["']?(?P<name>[\w.*/@-]+)["']?\s*:(?:\s|$)""")
_REFERENCE = re.compile(r"\$\{\w+(:\?[^}]*)?\}")
_SHORTEST_SCRUBBED = 4
"""Scrubbing shorter values would riddle ordinary words; what is that short is no secret."""

Range = tuple[int, int]


def is_secret_name(name: str) -> bool:
    """``api_key``, ``x-api-key``, ``token``, ``secret_id``, ``apiKey``; not ``key_file`` and not ``bytes_per_token``."""
    return not name.endswith("_file") and _SECRET_NAME.search(name) is not None


def is_reference(text: str) -> bool:
    """``${NAME}`` alone: it names a secret and holds none, so people may see it."""
    return _REFERENCE.fullmatch(text) is not None


def secret_fields(model: type[BaseModel]) -> frozenset[str]:
    """The fields of a settings model that are secret by their name or their type."""
    return frozenset(
        name for name, field in model.model_fields.items() if is_secret_name(name) or _is_secret_type(field.annotation)
    )


def _is_secret_type(annotation: object) -> bool:
    return annotation in (SecretStr, SecretBytes) or any(_is_secret_type(inner) for inner in get_args(annotation))


def without_credentials(text: str) -> str:
    """``http://user:password@host`` → ``http://***@host``."""
    return _USERINFO.sub(MASK, text)


def scrubbed(text: str, secrets: Iterable[str]) -> str:
    """``text`` without any of ``secrets``, as they are or as ``repr`` would write them."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORTEST_SCRUBBED:
            text = text.replace(secret, MASK).replace(repr(secret)[1:-1], MASK)
    return without_credentials(text)


def credential_ranges(line: str) -> list[Range]:
    """User and password in the URLs of a line."""
    return [match.span() for match in _USERINFO.finditer(line)]


def guessed_ranges(lines: tuple[str, ...], number: int) -> list[Range]:
    """What to hide in line ``number`` (from 0) of a text that is not YAML: without a tree only its looks tell."""
    line = lines[number]
    for match in _SECRET_LINE.finditer(line):
        if is_secret_name(match["name"]):
            return [match.span("value")]
    if not _continues_secret(line, lines[:number]):
        return []
    return [(_indent(line), len(line))]


def _continues_secret(line: str, before: tuple[str, ...]) -> bool:
    """The nearest key above (for a line that looks like a key: above and to the left) is a secret's, so the line may be
    the rest of its value."""
    is_key = _ANY_KEY.match(line) is not None
    keys = (match for above in reversed(before) if (match := _ANY_KEY.match(above)))
    nearest = next((key for key in keys if not is_key or _indent(key.string) < _indent(line)), None)
    return nearest is not None and is_secret_name(nearest["name"])


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())

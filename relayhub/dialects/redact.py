"""Keeping secrets out of texts that came from elsewhere."""

from __future__ import annotations

import re

import orjson

from relayhub.types import limits

_SECRETS = re.compile(
    r"(?i:\b(bearer|basic)\s+)[^\s\"',;]+"  # an Authorization header, echoed
    r"|\b(?:sk|pk|rk|ak|key)[-_][A-Za-z0-9*._-]{6,}"  # keys by prefix, also half masked ones
    r"|\bAIza[0-9A-Za-z_-]{20,}"
    r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?"  # a JSON web token
    r"|(?i:\b(api[-_ ]?key|access[-_ ]?token|secret|password)(\s*(?:provided)?\s*[:=]\s*))[^\s\"',;]+"
)


def redact(text: str) -> str:
    """``text`` with everything that looks like a credential replaced by ``***``."""
    return _SECRETS.sub(_masked, text)


def _masked(match: re.Match[str]) -> str:
    scheme, label, separator = match.groups()
    if scheme:
        return f"{scheme} ***"
    return f"{label}{separator}***" if label else "***"


_PLACES = re.compile(
    r"(?i:\brequest[ _-]?id\s*[:=]?\s*\S+)"
    r"|\b[a-z][a-z0-9+.-]*://[^\s\"'<>)]+"
    r"|\b(?:[a-z0-9-]+\.){2,}[a-z]{2,}(?::\d+)?(?:/[^\s\"'<>)]*)?"  # ark.region.example.com
    r"|\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?"
    r"|(?<![\w/])/(?:[\w.-]+/)+[\w.-]+",  # /srv/app/x.py
    re.IGNORECASE,
)


def without_places(text: str) -> str:
    """``text`` without credentials, and without what leads to the upstream: addresses, paths, its ids of requests."""
    return _PLACES.sub("…", redact(text))


def shown(text: str) -> str:
    """Fit to be shown: redacted, on a bounded length."""
    text = redact(text)
    return text if len(text) <= limits.MAX_ERROR_TEXT else text[: limits.MAX_ERROR_TEXT - 1] + "…"


_PIECE, _STRIDE, _MARGIN = 8, 4, 3
"""A quotation of eleven characters or more has a piece that is looked for."""

MOST_COMPARED = 128 << 10
"""Bytes of a request that are searched."""

_STRUCTURE = frozenset({"model", "role", "type", "object"})
"""Fields whose values are no secret, and that errors are about."""


def without_quotes(text: str, said: object) -> str:
    """``text``, which an upstream wrote about the request ``said``, without what it repeats of it: prompts are neither logged
    nor kept. ``said``: bytes; of anything else, and of what is too long to be searched, nothing may be repeated at all."""
    if not isinstance(said, bytes) or len(said) > MOST_COMPARED:
        return "(the upstream's words are left out: the request is too long to tell whether they repeat it)"
    words = _words(said)
    quoted = [False] * len(text)
    for start in range(0, max(1, len(text) - _PIECE + 1), _STRIDE):
        if text[start : start + _PIECE] in words:
            first, last = max(0, start - _MARGIN), min(len(text), start + _PIECE + _MARGIN)
            quoted[first:last] = [True] * (last - first)
    return _QUOTED.sub("…", "".join("\0" if hidden else letter for letter, hidden in zip(text, quoted, strict=True)))


_QUOTED = re.compile(r"\S*\0\S*")
"""Whole words: what is left of one would show the rest."""


def _words(said: bytes) -> str:
    """Everything in a request that is text, without its escapes."""
    try:
        left = [orjson.loads(said)]
    except orjson.JSONDecodeError:
        return said.decode("utf-8", "replace")
    found: list[str] = []
    while left:
        match left.pop():
            case str() as text:
                found.append(text)
            case list() as values:
                left.extend(values)
            case dict() as fields:
                left.extend(value for name, value in fields.items() if name not in _STRUCTURE)
    return "\n".join(found)

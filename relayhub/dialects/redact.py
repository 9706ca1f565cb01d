"""Keeping secrets out of texts that came from elsewhere."""

from __future__ import annotations

import re

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

"""Tool-call ids that a dialect does not allow, in letters that it does, and back."""

from __future__ import annotations

import base64
import re

_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
_MARK = "rhx_"


def to_plain(call_id: str) -> str:
    """An id of ``[A-Za-z0-9_-]`` only: itself where it is one already, else ``rhx_`` and its base64url. Injective."""
    if _PLAIN.fullmatch(call_id) and not call_id.startswith(_MARK):
        return call_id
    return _MARK + base64.urlsafe_b64encode(call_id.encode()).decode().rstrip("=")


def from_plain(call_id: str) -> str:
    """The inverse of :func:`to_plain`."""
    if not call_id.startswith(_MARK):
        return call_id
    packed = call_id[len(_MARK) :]
    try:
        return base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4)).decode()
    except ValueError:
        return call_id

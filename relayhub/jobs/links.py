"""Links to results: ours, signed, and good for as long as the result is kept."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from urllib.parse import urlencode

from relayhub.types.job import StoredArtifact

PATH = "/files"


class Links:
    """``base``: the hub's address as clients know it. ``keys``: the first signs, links of all are good. Both are asked each
    time."""

    def __init__(self, base: Callable[[], str], keys: Callable[[], Sequence[bytes]]) -> None:
        self._base = base
        self._keys = keys

    def to(self, result: StoredArtifact) -> str:
        return self.to_file(result.id, result.expires_at)

    def to_file(self, name: str, expires_at: float) -> str:
        expires = int(expires_at)
        query = urlencode({"expires": expires, "sign": _sign(self._keys()[0], name, expires)})
        return f"{self._base()}{PATH}/{name}?{query}"

    def allows(self, name: str, expires: str, sign: str, now: float) -> bool:
        """Whether a link that a stranger shows is ours, and still good."""
        if not expires.isascii() or not expires.isdigit() or len(expires) > 12 or not sign.isascii():
            return False
        ours = any(hmac.compare_digest(sign, _sign(key, name, int(expires))) for key in self._keys())
        return ours and now < int(expires)


def _sign(key: bytes, name: str, expires: int) -> str:
    return hmac.new(key, f"{name}\n{expires}".encode(), "sha256").hexdigest()[:40]

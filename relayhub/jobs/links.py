"""Links to results: ours, signed, and good for as long as the result is kept."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from urllib.parse import urlencode

from relayhub.types.job import StoredArtifact

PATH = "/files"


class Links:
    """``base``: the hub's address as clients know it, asked each time. ``key``: signs."""

    def __init__(self, base: Callable[[], str], key: bytes) -> None:
        self._base = base
        self._key = key

    def to(self, result: StoredArtifact) -> str:
        return self.to_file(result.id, result.expires_at)

    def to_file(self, name: str, expires_at: float) -> str:
        expires = int(expires_at)
        query = urlencode({"expires": expires, "sign": self._sign(name, expires)})
        return f"{self._base()}{PATH}/{name}?{query}"

    def allows(self, name: str, expires: str, sign: str, now: float) -> bool:
        """Whether a link that a stranger shows is ours, and still good."""
        if not expires.isascii() or not expires.isdigit() or len(expires) > 12 or not sign.isascii():
            return False
        return hmac.compare_digest(sign, self._sign(name, int(expires))) and now < int(expires)

    def _sign(self, name: str, expires: int) -> str:
        return hmac.new(self._key, f"{name}\n{expires}".encode(), "sha256").hexdigest()[:40]

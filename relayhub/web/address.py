"""The hub's address as clients know it: from the config, else where it listens; never what a request says of it."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from relayhub.config import ServerConfig

_ANYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104  # compared with, not bound to


@dataclass(slots=True)
class Address:
    """``base``: without a slash at its end; empty until the hub listens."""

    base: str = ""

    def listening(self, server: ServerConfig, url: str) -> None:
        """``url``: as :func:`relayhub.web.listener.listen` returns it."""
        self.base = (server.public_url or _reachable(url)).rstrip("/")


def _reachable(url: str) -> str:
    """Listening everywhere is listening here too; a socket file has no address."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        return ""
    if parts.hostname in _ANYWHERE:
        return f"{parts.scheme}://127.0.0.1:{parts.port}{parts.path}"
    return url

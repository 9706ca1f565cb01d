"""The certificate that clients are shown. It can be renewed while connections are open: those keep the one they know."""

from __future__ import annotations

import hashlib
import ssl

from relayhub.config.schema import TlsConfig


class Certificate:
    """``context``: for the listener."""

    def __init__(self, files: TlsConfig) -> None:
        """Raises ``OSError`` (``ssl.SSLError`` is one) for files that cannot be used."""
        self._files = files
        self._shown = self._digest()
        self.context = self._loaded()

    def check(self) -> bool:
        """Whether the files hold another one now. Raises ``OSError`` if that could not be used."""
        if self._digest() == self._shown:
            return False
        self._loaded()
        return True

    def renew(self) -> None:
        """Show what the files hold now, from the next connection on. Raises ``OSError``."""
        shown = self._digest()
        self.context.load_cert_chain(self._files.cert_file, self._files.key_file)
        self._shown = shown

    def _loaded(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self._files.cert_file, self._files.key_file)
        return context

    def _digest(self) -> bytes:
        parts = (self._files.cert_file.read_bytes(), self._files.key_file.read_bytes())
        return hashlib.sha256(b"\0".join(parts)).digest()

"""TLS contexts that read the system's certificates for their first connection, not when they are made.

The library that serves HTTP makes contexts for its own client as it is imported. To read some hundred certificates for
them is a twentieth of the start and 1 MB, and most hubs never use them: their upstreams have a client, and a context, of
their own.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from socket import socket


class LateContext(ssl.SSLContext):
    """Until then it knows no certificate, so that whatever looked past :meth:`wrap_bio` and :meth:`wrap_socket` would trust
    nobody."""

    def wrap_socket(
        self,
        sock: socket,
        server_side: bool = False,
        do_handshake_on_connect: bool = True,
        suppress_ragged_eofs: bool = True,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLSocket:
        return self._with_certificates().wrap_socket(
            sock, server_side, do_handshake_on_connect, suppress_ragged_eofs, server_hostname, session
        )

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        return self._with_certificates().wrap_bio(incoming, outgoing, server_side, server_hostname, session)

    def _with_certificates(self) -> ssl.SSLContext:
        """From then on it is an ordinary one."""
        ordinary: ssl.SSLContext = self
        ordinary.set_default_verify_paths()
        ordinary.__class__ = ssl.SSLContext
        return ordinary


@contextmanager
def certificates_later() -> Iterator[None]:
    """Contexts for clients that are made while the block runs, with the system's certificates, read them later; those that
    are told not to verify anybody too."""
    at_once = ssl.SSLContext.set_default_verify_paths

    def later(context: ssl.SSLContext) -> None:
        if type(context) is ssl.SSLContext and context.protocol is ssl.PROTOCOL_TLS_CLIENT:
            context.__class__ = LateContext
        else:
            at_once(context)

    ssl.SSLContext.set_default_verify_paths = later  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        del ssl.SSLContext.set_default_verify_paths  # it is inherited

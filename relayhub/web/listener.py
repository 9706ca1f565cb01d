"""The listening sockets: TCP, TLS or a unix socket, opened after everything else is ready and closed first."""

from __future__ import annotations

import ssl
from pathlib import Path

from aiohttp import web

from relayhub.config import ServerConfig

BACKLOG = 1024


async def listen(runner: web.AppRunner, server: ServerConfig) -> str:
    """Start accepting; returns the address as people write it. Raises ``OSError`` if it cannot be bound."""
    if server.unix_socket is not None:
        return await _listen_unix(runner, server.unix_socket)
    context = _tls(server)
    site = web.TCPSite(runner, server.host, server.port, ssl_context=context, backlog=BACKLOG)
    await site.start()
    host, port = _bound(runner)
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if context else 'http'}://{shown}:{port}{server.base_path}"


async def _listen_unix(runner: web.AppRunner, path: Path) -> str:
    """A socket file that a dead server left behind is replaced; anything else at that path is not."""
    if path.is_socket():
        path.unlink()
    site = web.UnixSite(runner, str(path), backlog=BACKLOG)
    await site.start()
    path.chmod(0o660)
    return f"unix:{path}"


def _tls(server: ServerConfig) -> ssl.SSLContext | None:
    if server.tls is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(server.tls.cert_file, server.tls.key_file)
    return context


def _bound(runner: web.AppRunner) -> tuple[str, int]:
    """Where we really listen: with port 0 the system chose."""
    address = runner.addresses[0]
    return str(address[0]), int(address[1])


async def stop_listening(runner: web.AppRunner) -> None:
    """Refuse new connections; the ones that are open go on."""
    for site in list(runner.sites):
        await site.stop()

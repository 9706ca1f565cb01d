"""The listening sockets: TCP, TLS or a unix socket, opened after everything else is ready and closed first."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

from relayhub.config import ServerConfig
from relayhub.web.head_timer import HeadTimer
from relayhub.web.overload import OVERLOAD

BACKLOG = 1024

HEAD_S = 10.0
"""How long a request's head, or a TLS hand-shake, may take: a phone on a bad line needs a second or two."""

MakeProtocol = Callable[[], asyncio.Protocol]
Open = Callable[[MakeProtocol], Awaitable[asyncio.AbstractServer]]


class Site(web.BaseSite):
    """One listening socket, every connection of which has a timer for the heads of its requests."""

    def __init__(self, runner: web.AppRunner, name: str, opening: Open, head_s: float) -> None:
        super().__init__(runner)
        self._shown = name
        self._opening = opening
        self._head_s = head_s

    @property
    def name(self) -> str:
        return self._shown

    async def start(self) -> None:
        await super().start()
        make = self._runner.server
        assert make is not None
        overload = self._runner.app.get(OVERLOAD) if isinstance(self._runner, web.AppRunner) else None
        self._server = await self._opening(lambda: HeadTimer(make(), self._head_s, overload))


async def listen(runner: web.AppRunner, server: ServerConfig, head_s: float = HEAD_S) -> str:
    """Start accepting; returns the address as people write it. Raises ``OSError`` if it cannot be bound."""
    if server.unix_socket is not None:
        return await _listen_unix(runner, server.unix_socket, head_s)
    context = _tls(server)
    loop = asyncio.get_running_loop()

    def opening(make: MakeProtocol) -> Awaitable[asyncio.AbstractServer]:
        limit_s = head_s if context else None
        return loop.create_server(
            make, server.host, server.port, ssl=context, backlog=BACKLOG, ssl_handshake_timeout=limit_s
        )

    await Site(runner, server.host, opening, head_s).start()
    host, port = _bound(runner)
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if context else 'http'}://{shown}:{port}{server.base_path}"


async def _listen_unix(runner: web.AppRunner, path: Path, head_s: float) -> str:
    """A socket file that a dead server left behind is replaced; anything else at that path is not."""
    if path.is_socket():
        path.unlink()
    loop = asyncio.get_running_loop()

    def opening(make: MakeProtocol) -> Awaitable[asyncio.AbstractServer]:
        return loop.create_unix_server(make, str(path), backlog=BACKLOG)

    await Site(runner, f"unix:{path}", opening, head_s).start()
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

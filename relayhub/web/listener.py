"""The listening sockets: TCP, TLS or a unix socket, opened after everything else is ready and closed first."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path

from aiohttp import web

from relayhub.config import ServerConfig
from relayhub.web.certificate import Certificate
from relayhub.web.head_timer import HeadTimer
from relayhub.web.overload import OVERLOAD, Overload
from relayhub.web.quick.desk import QUICK, QuickDesk
from relayhub.web.quick.door import QuickDoor

BACKLOG = 1024

HEAD_S = 10.0
"""How long a request's head, or a TLS hand-shake, may take: a phone on a bad line needs a second or two."""

UNSENT = 128 << 10
"""Bytes of an answer that the system takes before the network has room for them; it would take megabytes."""

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
        app = self._runner.app if isinstance(self._runner, web.AppRunner) else None
        overload, desk = (app.get(OVERLOAD), app.get(QUICK)) if app is not None else (None, None)
        self._server = await self._opening(lambda: front_door(make, self._head_s, overload, desk))


def front_door(
    make: Callable[[], asyncio.Protocol], head_s: float, overload: Overload | None, desk: QuickDesk | None
) -> asyncio.Protocol:
    """What a new connection meets. ``make``: the framework's protocol. Without a ``desk`` it gets every request."""
    return HeadTimer(make(), head_s, overload) if desk is None else QuickDoor(desk, make, head_s, overload)


async def listen(
    runner: web.AppRunner,
    server: ServerConfig,
    head_s: float = HEAD_S,
    *,
    shared: bool = False,
    door: socket.socket | None = None,
    certificate: Certificate | None = None,
) -> str:
    """Start accepting; returns the address as people write it. ``shared``: other processes listen on this port too;
    ``door``: a unix socket that listens already; ``certificate``: for HTTPS. Raises ``OSError`` if it cannot be bound."""
    if server.unix_socket is not None:
        return await _listen_unix(runner, server.unix_socket, head_s, door)
    context = None if certificate is None else certificate.context
    loop = asyncio.get_running_loop()

    async def opening(make: MakeProtocol) -> asyncio.AbstractServer:
        limit_s = head_s if context else None
        opened = await loop.create_server(
            make,
            server.host,
            server.port,
            ssl=context,
            backlog=BACKLOG,
            ssl_handshake_timeout=limit_s,
            reuse_port=shared or None,
        )
        hold_little(opened.sockets)
        return opened

    await Site(runner, server.host, opening, head_s).start()
    return address_of(server, *_bound(runner))


def hold_little(listening: Sequence[socket.socket]) -> None:
    """Every connection that comes in has the limit from its listening socket, and need not be given it."""
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):
        for raw in listening:
            with suppress(OSError):  # systems that have the name and not the limit: it spares memory, no more
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)


def address_of(server: ServerConfig, host: str, port: int) -> str:
    """``host``, ``port``: where it really listens."""
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if server.tls else 'http'}://{shown}:{port}{server.base_path}"


async def _listen_unix(runner: web.AppRunner, path: Path, head_s: float, door: socket.socket | None) -> str:
    """A socket file that a dead server left behind is replaced; anything else at that path is not."""
    if door is None and path.is_socket():
        path.unlink()
    loop = asyncio.get_running_loop()

    def opening(make: MakeProtocol) -> Awaitable[asyncio.AbstractServer]:
        if door is not None:
            return loop.create_unix_server(make, sock=door, backlog=BACKLOG)
        return loop.create_unix_server(make, str(path), backlog=BACKLOG)

    await Site(runner, f"unix:{path}", opening, head_s).start()
    if door is None:
        path.chmod(0o660)
    return f"unix:{path}"


def _bound(runner: web.AppRunner) -> tuple[str, int]:
    """Where we really listen: with port 0 the system chose."""
    address = runner.addresses[0]
    return str(address[0]), int(address[1])


async def stop_listening(runner: web.AppRunner) -> None:
    """Refuse new connections; the ones that are open go on."""
    for site in list(runner.sites):
        await site.stop()

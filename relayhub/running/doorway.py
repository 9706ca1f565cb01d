"""The address that workers share: taken once by their supervisor, and kept while workers come and go."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from relayhub.config import ServerConfig
from relayhub.web.listener import BACKLOG, address_of


@dataclass(frozen=True, slots=True)
class Doorway:
    """``url``: as people write it. ``port``: what workers listen on with SO_REUSEPORT; the kernel deals connections out
    to them. ``door``: for a unix socket, which cannot be shared like that: listens already, and workers inherit it."""

    url: str
    port: int
    held: tuple[socket.socket, ...] = ()
    door: socket.socket | None = None

    def close(self) -> None:
        """Idempotent."""
        for one in self.held:
            one.close()
        if self.door is not None and self.door.fileno() >= 0:
            name = self.door.getsockname()
            self.door.close()
            with suppress(OSError):
                Path(name).unlink()


def open_doorway(server: ServerConfig) -> Doorway:
    """Raises ``OSError`` where somebody else has the address."""
    if server.unix_socket is not None:
        door = _listening(server.unix_socket)
        return Doorway(f"unix:{server.unix_socket}", server.port, door=door)
    with ExitStack() as undo:
        held = []
        for one in _kept(server.host, server.port):
            undo.callback(one.close)
            held.append(one)
        undo.pop_all()
    host, port = held[0].getsockname()[:2]
    return Doorway(address_of(server, host, port), port, tuple(held))


def _kept(host: str, port: int) -> Iterator[socket.socket]:
    """A socket for each address of the host, which takes no connections itself. The first one chooses the port."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, kind, protocol, _, address in dict.fromkeys(found):
        kept = _bound(socket.socket(family, kind, protocol), (address[0], port, *address[2:]))
        port = kept.getsockname()[1]
        yield kept


def _bound(kept: socket.socket, address: tuple[object, ...]) -> socket.socket:
    """Bound alone, so that another hub on this port is noticed, and then opened to our workers only: to those that share
    the port knowingly, not to those that would take it over."""
    try:
        if kept.family == socket.AF_INET6:
            kept.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that have just ended do not count
        kept.bind(address)
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    except BaseException:
        kept.close()
        raise
    return kept


def _listening(path: Path) -> socket.socket:
    """A socket file that a dead server left behind is replaced; anything else at that path is not."""
    if path.is_socket():
        path.unlink()
    door = socket.socket(socket.AF_UNIX)
    try:
        door.bind(str(path))
        path.chmod(0o660)
        door.listen(BACKLOG)
    except BaseException:
        door.close()
        raise
    return door

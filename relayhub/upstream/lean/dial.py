"""New connections: name, socket, TLS, under one deadline."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path

from relayhub.upstream import faults
from relayhub.upstream.lean.connection import Connection, Inbox
from relayhub.upstream.lean.head import Heads, NewestHead
from relayhub.upstream.lean.outgoing import Origin
from relayhub.upstream.lean.resolver import Address, Resolver
from relayhub.upstream.lean.time_limits import TimeLimits

STAGGER_S = 0.25
"""An address gets this long before the next one is tried beside it (RFC 8305)."""


READ = 16 << 10
"""Bytes of one read: what a hundred upstreams that send without end may each have of one turn of the loop."""

MAX_ORIGINS = 64
"""Of which the newest head is kept. A provider has one or two; a plugin that makes up addresses must not fill the memory."""


class Dialler:
    """``ca_file`` is trusted beside the system's authorities. Certificates and names are always checked."""

    def __init__(self, ca_file: Path | None, resolver: Resolver) -> None:
        self._ca_file = ca_file
        self._resolver = resolver
        self._context: ssl.SSLContext | None = None
        self._inbox = Inbox(READ)
        self._limits = TimeLimits()
        self._newest: dict[Origin, NewestHead] = {}

    async def dial(self, origin: Origin, until: float, on_gone: Callable[[Connection], None]) -> Connection:
        """``until``: loop time. Raises ``UpstreamError``, never delivered."""
        task = asyncio.current_task()
        assert task is not None
        limits, cancelling = self._limits, task.cancelling()
        limits.begin(task, until)
        try:
            connection = await self._dial(origin, on_gone)
        except BaseException as error:
            late = limits.end(task) and task.uncancel() <= cancelling and isinstance(error, asyncio.CancelledError)
            del task  # it may be kept by the error, whose traceback has this frame: each would keep the other
            if late or isinstance(error, TimeoutError):
                what = f"no connection to {origin.host}:{origin.port} within the connect limit"
            elif isinstance(error, OSError | ValueError):
                what = f"{origin.host}:{origin.port}: {error!r}"
            else:
                raise
            raise faults.not_reached(what) from error
        if limits.end(task):
            task.uncancel()  # whatever it waited for did not mind
        return connection

    async def _dial(self, origin: Origin, on_gone: Callable[[Connection], None]) -> Connection:
        addresses = await self._resolver.resolve(origin.host)
        loop = asyncio.get_running_loop()
        context = self._tls() if origin.tls else None
        name = origin.host if origin.tls else None
        heads = Heads(self._newest_head(origin))

        def make() -> Connection:
            return Connection(origin, on_gone, self._inbox, heads)

        if len(addresses) == 1:
            # The loop's own way for an address that is a number, without a look-up in a thread as for a socket of ours.
            _, host = addresses[0]
            _, connection = await loop.create_connection(make, host, origin.port, ssl=context, server_hostname=name)
            return connection
        opened = await connect_first(addresses, origin.port)
        try:
            _, connection = await loop.create_connection(make, sock=opened, ssl=context, server_hostname=name)
        except BaseException:
            opened.close()
            raise
        return connection

    def _newest_head(self, origin: Origin) -> NewestHead:
        newest = self._newest.get(origin)
        if newest is None:
            if len(self._newest) >= MAX_ORIGINS:
                self._newest.clear()
            newest = self._newest[origin] = NewestHead()
        return newest

    def _tls(self) -> ssl.SSLContext:
        """Made when it is first needed: loading the authorities takes tens of milliseconds."""
        if self._context is None:
            context = ssl.create_default_context()
            context.set_alpn_protocols(["http/1.1"])
            if self._ca_file is not None:
                context.load_verify_locations(self._ca_file)
            self._context = context
        return self._context


async def connect_first(addresses: Sequence[Address], port: int) -> socket.socket:
    """A socket to the first address that answers; a slow one is overtaken by the next. Raises ``OSError``."""
    trying: set[asyncio.Task[socket.socket]] = set()
    failed: list[BaseException] = []
    try:
        for address in addresses:
            trying.add(asyncio.create_task(_connect(address, port)))
            if opened := await _first(trying, failed, None if address is addresses[-1] else STAGGER_S):
                return opened
    finally:
        await _give_up(trying)
    raise failed[0] if failed else OSError("the name has no address")


async def _first(
    trying: set[asyncio.Task[socket.socket]], failed: list[BaseException], wait_s: float | None
) -> socket.socket | None:
    """The first success, or ``None`` when all have failed or the wait is over. Takes what is done out of ``trying``."""
    while trying:
        done, _ = await asyncio.wait(trying, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            return None
        for task in done:
            error = task.exception()
            if error is None:
                trying.discard(task)
                return task.result()
            trying.discard(task)
            failed.append(error)
    return None


async def _give_up(trying: set[asyncio.Task[socket.socket]]) -> None:
    for task in trying:
        task.cancel()
    for late in await asyncio.gather(*trying, return_exceptions=True):
        if isinstance(late, socket.socket):
            late.close()


async def _connect(address: Address, port: int) -> socket.socket:
    family, host = address
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setblocking(False)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        error = opened.connect_ex((host, port))
        if error == errno.EINPROGRESS:
            await _writable(opened)
            error = opened.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, os.strerror(error))
    except BaseException:
        opened.close()
        raise
    return opened


async def _writable(opened: socket.socket) -> None:
    """uvloop's ``sock_connect`` would look the address up, in a thread."""
    loop = asyncio.get_running_loop()
    connected: asyncio.Future[None] = loop.create_future()

    def note() -> None:
        if not connected.done():
            connected.set_result(None)

    loop.add_writer(opened.fileno(), note)
    try:
        await connected
    finally:
        loop.remove_writer(opened.fileno())

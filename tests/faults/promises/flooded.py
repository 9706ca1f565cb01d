"""L7: whatever upstreams send and clients do not read, the server keeps little of it."""

from __future__ import annotations

import asyncio
import socket
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from relayhub.testing.faults import FaultUpstream, answers, pace
from tests.faults.asking import CHAT, chat_body, request_bytes
from tests.faults.memory import MIB, open_files, resident_bytes
from tests.faults.promises.figure import Figure
from tests.faults.promises.ground import Ground, standing, until, upstreams
from tests.support.openai_wire import chunk, completion

EVENT = chunk("m", content="x" * 1000) * 8
RECEIVE_BUFFER = 64 << 10
"""Of a client: what it does not read must wait somewhere else."""

QUIET_S = 1.0
AT_ONCE = 50
"""Clients that call at the same moment; the next ones follow when the streams of these have begun."""


async def measure(home: Path, streams: int) -> list[Figure]:
    async with standing(home, lambda url: upstreams(url, up="*")) as ground:
        ground.upstream.program("warm", answers.whole(completion("m")))
        ground.upstream.program("flood", pace.endless_stream(EVENT))
        for _ in range(20):
            await ground.clients.chat("warm")
        pid = ground.hub.process.pid
        before, files = resident_bytes(pid), open_files(pid)
        clients: list[socket.socket] = []
        try:
            while len(clients) < streams:
                clients += [await _deaf(ground) for _ in range(min(AT_ONCE, streams - len(clients)))]
                await until(partial(_open, ground, len(clients)), 30)
            begun = ground.upstream.counters("flood").open
            await _stands_still(ground.upstream)
            grown = resident_bytes(pid) - before
            most_sent = ground.upstream.counters("flood").bytes_sent / streams
        finally:
            for client in clients:
                client.close()
        released_s = await until(lambda: ground.upstream.counters("flood").open == 0, 10)
        files_s = await until(lambda: open_files(pid) <= files + 5, 10)
        await until(lambda: _left(ground) == streams, 5)
        left = streams - _left(ground)
        await ground.clients.close()
    return [
        Figure("L7", "streams that flood and are not read", begun, streams, exactly=True),
        Figure("L7", "memory of the server for each of them", grown / streams / 1024, 256, "KiB"),
        Figure(
            "L7",
            "sent by an upstream until it was held back, the systems' buffers included",
            most_sent / MIB,
            32,
            "MiB",
        ),
        Figure("L7", "upstreams released after their clients were gone, within", released_s, 2, "s", timed=True),
        Figure("L7", "descriptors given back within", files_s, 5, "s", timed=True),
        Figure("L7", "streams whose usage row does not say that the client left", left, 0, exactly=True),
        *ground.others(),
    ]


def _open(ground: Ground, streams: int) -> bool:
    return ground.upstream.counters("flood").open == streams


def _left(ground: Ground) -> int:
    """Calls whose row says that the client left."""
    return int(str(ground.hub.rows("SELECT count(*) AS n FROM usage WHERE outcome = 'client_left'")[0]["n"]))


async def _deaf(ground: Ground) -> socket.socket:
    """A client that asks for a stream and never reads."""
    address = urlsplit(ground.hub.url)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(client, (address.hostname, address.port))
    await loop.sock_sendall(client, request_bytes(CHAT, chat_body("flood", stream=True), ground.clients.key))
    return client


async def _stands_still(upstream: FaultUpstream) -> None:
    """Until nothing more is taken from it."""
    while True:
        sent = upstream.total.bytes_sent
        await asyncio.sleep(QUIET_S)
        if upstream.total.bytes_sent == sent:
            return

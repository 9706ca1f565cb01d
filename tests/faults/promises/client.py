"""Clients that keep their connections, at a fixed rate whatever the server does."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.faults.asking import CHAT, chat_body, request_bytes

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
LIMIT = 1 << 22

Pipe = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True, slots=True)
class Asked:
    """One call. ``status`` 0: the connection broke. ``at``, ``took_s``: since it was due, by the loop's clock."""

    at: float
    took_s: float
    status: int


@dataclass(slots=True)
class Clients:
    """``url``: of the server."""

    url: str
    key: str
    _idle: list[Pipe] = field(default_factory=list)

    async def connect(self) -> Pipe:
        address = urlsplit(self.url)
        return await asyncio.open_connection(address.hostname, address.port, limit=LIMIT)

    async def chat(self, model: str) -> Asked:
        """One call, from when it was due."""
        loop = asyncio.get_running_loop()
        at = loop.time()
        try:
            pipe = self._kept() or await self.connect()
            pipe[1].write(request_bytes(CHAT, chat_body(model), self.key))
            status = await self._answer(pipe)
        except (OSError, asyncio.IncompleteReadError):
            status = 0
        return Asked(at, loop.time() - at, status)

    def _kept(self) -> Pipe | None:
        """A connection that is still open, as far as anybody can tell: the server closes those that are idle for long."""
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof() and not writer.is_closing():
                return reader, writer
        return None

    async def _answer(self, pipe: Pipe) -> int:
        head = await pipe[0].readuntil(b"\r\n\r\n")
        length = LENGTH.search(head)
        assert length is not None, head
        await pipe[0].readexactly(int(length[1]))
        if b"connection: close" in head.lower():
            pipe[1].close()
        else:
            self._idle.append(pipe)
        return int(head[9:12])

    async def stream(self, model: str) -> Pipe:
        """The connection of a streamed call, nothing of which has been read."""
        reader, writer = await self.connect()
        writer.write(request_bytes(CHAT, chat_body(model, stream=True), self.key))
        return reader, writer

    async def close(self) -> None:
        for _, writer in self._idle:
            writer.close()
        self._idle.clear()


async def at_rate(per_s: float, seconds: float, call: Callable[[], Awaitable[Asked]]) -> list[Asked]:
    """Calls when they are due, whether or not the ones before have been answered."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    calls: list[asyncio.Task[Asked]] = []
    for number in range(int(per_s * seconds)):
        await asyncio.sleep(max(began + number / per_s - loop.time(), 0))
        calls.append(asyncio.ensure_future(call()))
    return await asyncio.gather(*calls)

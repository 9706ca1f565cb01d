"""A transport that a plugin has brought may know no deadlines: its calls have them all the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

import pytest

from relayhub.types.errors import ErrorKind, UpstreamError
from relayhub.types.http import Deadlines, HttpRequest
from relayhub.upstream.timed import TimedTransport

REQUEST = HttpRequest("POST", "https://up.example/")
SHORT_S = 0.05
LIMITS = Deadlines(first_byte_s=SHORT_S, idle_s=SHORT_S, total_s=10)


@dataclass
class Reply:
    """Answers ``pieces`` at once and is silent afterwards, if it is to be."""

    pieces: list[bytes]
    silent: bool = False
    endless: bool = False
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        for piece in self.pieces:
            yield piece
        while self.endless:
            await asyncio.sleep(0)
            yield b"more"
        if self.silent:
            await asyncio.Event().wait()


@dataclass
class Timeless:
    """``reply`` ``None``: there never is one."""

    reply: Reply | None = None
    left: int = 0
    closed: int = 0

    @asynccontextmanager
    async def send(self, request: HttpRequest, deadlines: Deadlines) -> AsyncIterator[Reply]:
        if self.reply is None:
            await asyncio.Event().wait()
        assert self.reply is not None
        try:
            yield self.reply
        finally:
            self.left += 1

    async def close(self) -> None:
        self.closed += 1


async def body_of(inner: Timeless, limits: Deadlines = LIMITS) -> bytes:
    transport = TimedTransport(inner)
    async with transport.send(REQUEST, limits) as reply, aclosing(reply.chunks()) as chunks:
        return b"".join([data async for data in chunks])


async def test_what_comes_in_time_passes() -> None:
    inner = Timeless(Reply([b"a", b"b"]))
    assert await body_of(inner) == b"ab"
    assert inner.left == 1


@pytest.mark.parametrize(
    ("reply", "limits", "words"),
    [
        (None, LIMITS, "no answer"),
        (Reply([b"a"], silent=True), LIMITS, "no further data"),
        (Reply([], endless=True), Deadlines(total_s=SHORT_S), "no complete answer"),
    ],
    ids=["head", "silence", "endless"],
)
async def test_what_does_not_is_given_up(reply: Reply | None, limits: Deadlines, words: str) -> None:
    inner = Timeless(reply)
    with pytest.raises(UpstreamError) as failed:
        await body_of(inner, limits)
    assert (failed.value.kind, failed.value.delivered) == (ErrorKind.UPSTREAM_TIMEOUT, True)
    assert words in failed.value.message
    assert inner.left == (reply is not None), "the plugin is told in any case"


async def test_it_is_closed_with_the_inner_one() -> None:
    inner = Timeless()
    await TimedTransport(inner).close()
    assert inner.closed == 1

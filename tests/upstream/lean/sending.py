"""Requests as the tests of this folder send them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from relayhub.types.errors import UpstreamError
from relayhub.types.http import Body, Deadlines, Effect, HttpReply, HttpRequest
from relayhub.upstream.body import read_whole
from relayhub.upstream.lean.transport import LeanTransport

QUICK = Deadlines(connect_s=0.2, first_byte_s=0.2, idle_s=0.2, total_s=5.0)
PATIENT = Deadlines(connect_s=5.0, first_byte_s=5.0, idle_s=5.0, total_s=10.0)


async def post(
    transport: LeanTransport,
    url: str,
    body: Body = b"{}",
    *,
    effect: Effect = Effect.PAID,
    deadlines: Deadlines = PATIENT,
) -> HttpReply:
    async with transport.send(HttpRequest("POST", url, {}, body, effect), deadlines) as reply:
        return await read_whole(reply)


async def failure(
    transport: LeanTransport,
    url: str,
    body: Body = b"{}",
    *,
    effect: Effect = Effect.PAID,
    deadlines: Deadlines = PATIENT,
) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        await post(transport, url, body, effect=effect, deadlines=deadlines)
    return caught.value


async def until(condition: Callable[[], bool], within_s: float = 5.0) -> None:
    """Turn the loop until it is so."""
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0)

"""Driving a plugin's operation of several requests: it yields one, and is sent its reply."""

from __future__ import annotations

from typing import TypeVar

from relayhub.sdk.provider import Steps
from relayhub.sdk.transport import Transport
from relayhub.types.http import Deadlines, HttpReply, HttpRequest
from relayhub.upstream.body import read_whole
from relayhub.upstream.memory import Lease

T = TypeVar("T")

MAX_STEPS = 32
"""Requests of one operation: paging through a long list fits, a plugin that never returns does not."""


async def drive(steps: Steps[T], transport: Transport, deadlines: Deadlines, lease: Lease | None = None) -> T:
    """Run ``steps`` to its end. Raises what the transport or the plugin raises, ``RuntimeError`` after ``MAX_STEPS``.
    ``lease``: counts the answers; it is the caller's to end."""
    try:
        request = next(steps)
        for _ in range(MAX_STEPS):
            request = steps.send(await _exchange(request, transport, deadlines, lease))
    except StopIteration as done:
        result: T = done.value
        return result
    finally:
        steps.close()
    raise RuntimeError(f"the operation did not end within {MAX_STEPS} requests")


async def _exchange(request: HttpRequest, transport: Transport, deadlines: Deadlines, lease: Lease | None) -> HttpReply:
    async with transport.send(request, deadlines) as reply:
        return await read_whole(reply, lease)

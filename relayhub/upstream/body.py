"""Reading a whole answer under a cap."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import aclosing

from relayhub.sdk.transport import UpstreamReply
from relayhub.types.http import HttpReply
from relayhub.types.limits import MAX_UPSTREAM_BODY, MAX_UPSTREAM_ERROR_BODY
from relayhub.upstream.faults import too_large
from relayhub.upstream.lean.reply import LeanReply


async def read_whole(reply: UpstreamReply) -> HttpReply:
    """The complete answer; raises ``UpstreamError`` over :data:`MAX_UPSTREAM_BODY`."""
    if isinstance(reply, LeanReply) and (body := reply.at_hand()) is not None:
        return HttpReply(reply.status, reply.headers, body)
    parts: list[bytes] = []
    size = 0
    async with aclosing(reply.chunks()) as chunks:
        async for data in chunks:
            size += len(data)
            if size > MAX_UPSTREAM_BODY:
                raise too_large(MAX_UPSTREAM_BODY)
            parts.append(data)
    return HttpReply(reply.status, reply.headers, b"".join(parts))


async def relay(reply: UpstreamReply, take: Callable[[bytes], bool], go_on: Callable[[], Awaitable[bool]]) -> None:
    """Hand the body to ``take``, each piece in the turn of the loop in which it comes where the transport can do that.
    Once ``take`` returns ``False`` nothing more comes until ``go_on`` returns, and nothing at all if that is ``False``.
    Raises what either raises."""
    if isinstance(reply, LeanReply) and reply.pushes:
        while await reply.push(take) and await go_on():
            pass
        return
    async with aclosing(reply.chunks()) as chunks:
        async for data in chunks:
            if not take(data) and not await go_on():
                return


async def read_error(reply: UpstreamReply) -> HttpReply:
    """The beginning of an error answer: what is beyond the cap would not be shown to anybody."""
    body = bytearray()
    async with aclosing(reply.chunks()) as chunks:
        async for data in chunks:
            body += data
            if len(body) >= MAX_UPSTREAM_ERROR_BODY:
                break
    return HttpReply(reply.status, reply.headers, bytes(body[:MAX_UPSTREAM_ERROR_BODY]))

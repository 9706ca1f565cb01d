"""Reading a whole answer under a cap."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import aclosing

from relayhub.sdk.transport import UpstreamReply
from relayhub.types.errors import UpstreamError
from relayhub.types.http import HttpReply
from relayhub.types.limits import MAX_UPSTREAM_ERROR_BODY
from relayhub.upstream.faults import memory_short
from relayhub.upstream.lean.reply import LeanReply
from relayhub.upstream.lean.sink import Express
from relayhub.upstream.memory import Lease
from relayhub.upstream.whole import Whole


async def read_whole(reply: UpstreamReply, lease: Lease | None = None) -> HttpReply:
    """The complete answer. ``lease``, ``UpstreamError``: see :class:`relayhub.upstream.whole.Whole`."""
    if isinstance(reply, LeanReply) and (body := reply.at_hand()) is not None:
        return HttpReply(reply.status, reply.headers, body)
    whole = Whole(lease)
    try:
        await whole.begin(reply.headers)
        await relay(reply, whole.take, whole.go_on)
    except UpstreamError as error:
        if not whole.held_up(error):
            raise
        raise memory_short() from error
    return HttpReply(reply.status, reply.headers, whole.body())


async def relay(
    reply: UpstreamReply,
    take: Callable[[bytes], bool],
    go_on: Callable[[], Awaitable[bool]],
    express: Express | None = None,
) -> None:
    """Hand the body to ``take``, each piece in the turn of the loop in which it comes where the transport can do that.
    Once ``take`` returns ``False`` nothing more comes until ``go_on`` returns, and nothing at all if that is ``False``.
    Raises what either raises. ``express``: see :meth:`relayhub.upstream.lean.reply.LeanReply.pour`."""
    if isinstance(reply, LeanReply):
        while await reply.push(take, express) and await go_on():
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

"""Count requests, whose answer has no stream and no price."""

from __future__ import annotations

from aiohttp import web

from relayhub.gateway.call import Call
from relayhub.gateway.counting import Counted
from relayhub.types.call import Principal
from relayhub.web.client_address import client_address
from relayhub.web.context import CONTEXT, REQUEST_ID
from relayhub.web.ingress.serving import Asked, platform_of, refuse_while_draining


async def count(request: web.Request, principal: Principal, asked: Asked, chat_body: bytes | None = None) -> Counted:
    """See :meth:`relayhub.gateway.counting.Counting.count`."""
    context = request.app[CONTEXT]
    refuse_while_draining(context)
    call = Call(
        request[REQUEST_ID],
        principal,
        asked.operation,
        asked.dialect,
        asked.body,
        asked.envelope,
        context.clock.monotonic(),
        client_address(request, context.trusted_proxies),
        platform_of(request),
        asked.headers,
    )
    return await context.counting.count(call, chat_body)

"""Streams for browsers: ``EventSource`` can neither send headers nor a body, so a request with a key makes a ticket, and
the ticket's address can be opened as it is.

The address works for a minute, for pages of the origin that the ticket was made for (any that may call the API, if the
request that made it named no ``Origin``), and begins one call however often it is opened. Each event has an ``id``, so that
the browser resumes by itself, on any server of the same database, until two minutes after the end. After the last event
the answer is 204, on which the browser stops asking.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection

import orjson
from aiohttp import web

from relayhub.accounts.secret import hash_secret
from relayhub.dialects.codec import Framing
from relayhub.dialects.jsontext import splice
from relayhub.gateway.call import Call, ClientLeft
from relayhub.gateway.tickets.follower import Follower
from relayhub.store.tickets import Ticket, TicketState
from relayhub.types.call import Dialect, Operation, Principal
from relayhub.types.errors import ClientError, ErrorKind, HubError, invalid_request
from relayhub.web.body import defer_expectation
from relayhub.web.client_address import client_address, is_trusted_proxy
from relayhub.web.client_stream import ClientStream
from relayhub.web.context import CONTEXT, REQUEST_ID, WebContext
from relayhub.web.ingress.serving import (
    CLIENT_LEFT_STATUS,
    authenticate,
    check_address,
    read,
    refuse_while_draining,
    response_headers,
)
from relayhub.web.page_origin import opened_by

PATH = "/api/relay/v1/stream-tickets"
PREFIX = "st_"
RANDOM_BYTES = 24

DIALECT = Dialect.OPENAI_CHAT
NO_STORE = {"cache-control": "no-store"}

RETRY = b"retry: 1000\n\n"
"""Milliseconds after which a browser comes back when the connection was lost."""

KEEP_ALIVE = b": keep-alive\n" + RETRY

_HOST = re.compile(r"[0-9A-Za-z.\-_]+(:\d+)?|\[[0-9A-Fa-f:.]+\](:\d+)?")


def add_routes(app: web.Application, base_path: str) -> None:
    """HEAD is no way to open a ticket: it would begin a call whose answer nobody sees."""
    app.router.add_post(base_path + PATH, create, expect_handler=defer_expectation)
    app.router.add_get(f"{base_path}{PATH}/{{ticket}}", follow, allow_head=False)


async def create(request: web.Request) -> web.Response:
    """``POST …/stream-tickets`` with a chat request, whose ``stream`` is taken for ``true``: 201 and the address. Everything
    that can be wrong with the request itself is said here; the call and its cost begin when the ticket is opened."""
    principal = authenticate(request)
    body = await read(request)
    context = request.app[CONTEXT]
    refuse_while_draining(context)
    asked = _checked(context, principal, body)
    token = PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
    origin = request.headers.get("origin")
    expires_at = await context.store.tickets.create(
        hash_secret(token), principal.key_id, origin, asked, context.clock.now()
    )
    url = f"{_base_url(request)}{PATH}/{token}"
    told = {"success": True, "object": "stream_ticket", "ticket": token, "url": url, "expires_at": int(expires_at)}
    headers = {**response_headers(request, DIALECT), **NO_STORE, "content-type": "application/json", "location": url}
    return web.Response(status=201, body=orjson.dumps(told), headers=headers)


def _checked(context: WebContext, principal: Principal, body: bytes) -> bytes:
    """The request as it will be served. Raises ``ClientError``."""
    codec = context.codecs.chat[DIALECT]
    codec.envelope(body)
    streamed = splice(body, {"stream": b"true"})
    envelope = codec.envelope(streamed)
    codec.decode_request(streamed, envelope)
    context.catalog.resolve(envelope.model, principal, Operation.CHAT)
    return streamed


def _base_url(request: web.Request) -> str:
    """``server.public_url``, else what this client itself used; empty (then the address is a path) if that is no name."""
    server = request.app[CONTEXT].server
    if server.public_url is not None:
        return server.public_url.rstrip("/")
    scheme, host = request.scheme, request.headers.get("host", "")
    if is_trusted_proxy(request, request.app[CONTEXT].trusted_proxies):
        scheme = "https" if request.headers.get("x-forwarded-proto", scheme) == "https" else "http"
        host = request.headers.get("x-forwarded-host", host)
    return f"{scheme}://{host}{server.base_path}" if _HOST.fullmatch(host) else server.base_path


async def follow(request: web.Request) -> web.StreamResponse:
    """``GET …/stream-tickets/{ticket}``: begin the call, or go on after ``Last-Event-ID``. A browser that has no event yet
    sends no id, and gets all of them: only an id proves that something has arrived."""
    context = request.app[CONTEXT]
    ticket = await _ticket(request)
    await context.keyring.refresh()
    principal = context.keyring.holder(ticket.key_id, context.clock.now())
    check_address(request, principal)
    _check_origin(request, ticket)
    after = _last_event_id(request)
    if ticket.state is TicketState.WAITING:
        ticket, after = await _opened(request, ticket, principal), 0
    if _is_over(ticket, after, context.clock.now()):
        return _over(request)
    return await _relay(request, Follower(context.ticket_calls, ticket, after))


async def _ticket(request: web.Request) -> Ticket:
    context = request.app[CONTEXT]
    found = await context.store.tickets.find(hash_secret(request.match_info["ticket"]), context.clock.now())
    if found is None:
        raise ClientError(ErrorKind.NOT_FOUND, "There is no such stream ticket; make a new one.", code="unknown_ticket")
    return found


def _check_origin(request: web.Request, ticket: Ticket) -> None:
    """Raises ``ClientError`` PERMISSION for a page that the ticket was not made for."""
    allowed = request.app[CONTEXT].server.cors_origins
    origin = request.headers.get("origin")
    may_call = origin is None or "*" in allowed or origin in allowed
    if may_call and (ticket.origin is None or opened_by(ticket.origin, request.headers, _own_hosts(request))):
        return
    raise ClientError(
        ErrorKind.PERMISSION,
        "This stream ticket was made for a page of another origin. Make it with the Origin of the page that opens it.",
        code="wrong_origin",
    )


def _own_hosts(request: web.Request) -> Collection[str]:
    """Under which names a page of ours may have been loaded."""
    return {_base_url(request).partition("://")[2].partition("/")[0], request.headers.get("host", "")} - {""}


def _last_event_id(request: web.Request) -> int:
    text = request.headers.get("last-event-id", "")
    if not text:
        return 0
    if not text.isascii() or not text.isdigit() or len(text) > 10:
        raise invalid_request("Last-Event-ID must be the id of one of this ticket's events.", param="Last-Event-ID")
    return int(text)


async def _opened(request: web.Request, ticket: Ticket, principal: Principal) -> Ticket:
    """The ticket once its call has begun, here or elsewhere. Raises ``ClientError`` NOT_FOUND if it has expired."""
    context = request.app[CONTEXT]
    refuse_while_draining(context)

    def call_of(body: bytes) -> Call:
        envelope = context.codecs.chat[DIALECT].envelope(body)
        received_at, client = context.clock.monotonic(), client_address(request, context.trusted_proxies)
        return Call(request[REQUEST_ID], principal, Operation.CHAT, DIALECT, body, envelope, received_at, client)

    await context.ticket_calls.open(ticket.id, request[REQUEST_ID], call_of)
    opened = await _ticket(request)
    if opened.state is TicketState.WAITING:
        raise ClientError(
            ErrorKind.NOT_FOUND,
            "This stream ticket has expired: nobody opened it in time. Make a new one.",
            code="ticket_expired",
        )
    return opened


def _is_over(ticket: Ticket, after: int, now: float) -> bool:
    expired = ticket.expires_at is not None and ticket.expires_at <= now
    return ticket.state is TicketState.ENDED and (expired or after >= ticket.last_event)


def _over(request: web.Request) -> web.Response:
    """On which ``EventSource`` stops."""
    return web.Response(status=204, headers={**response_headers(request, DIALECT), **NO_STORE})


async def _relay(request: web.Request, follower: Follower) -> web.StreamResponse:
    serving = request.app[CONTEXT].serving
    client = ClientStream(
        request,
        {**response_headers(request, DIALECT), **NO_STORE},
        framing=Framing.SSE,
        keep_alive=KEEP_ALIVE,
        head_waits=serving.head_waits,
        keep_alive_s=serving.server.keep_alive_s,
    )
    async with client:
        try:
            await _write(request, follower, client)
        except ClientLeft:
            return client.response or web.Response(status=CLIENT_LEFT_STATUS)
        except HubError:
            if client.response is None:
                raise
            await client.end(b"")  # the browser comes back and asks for the rest
    return client.response or _over(request)


async def _write(request: web.Request, follower: Follower, client: ClientStream) -> None:
    """Until the last event. While this server drains, those who follow another's call are sent there instead."""
    context = request.app[CONTEXT]
    prefix = RETRY
    while (frames := await follower.next()) is not None:
        if frames:
            client.note_dropped([follower.dropped] if follower.dropped else [])
            await client.write(prefix + frames)
            prefix = b""
        elif context.draining and follower.elsewhere:
            await client.end(prefix)
            return
    if client.response is not None:
        await client.end(b"")

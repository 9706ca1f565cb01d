"""What every ingress does with a decoded call: credential, body, the pipeline, and the answer or the error event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from aiohttp import web

from relayhub.dialects.codec import Envelope
from relayhub.gateway.call import Call, ClientLeft
from relayhub.gateway.named import Replay
from relayhub.store.named_calls import CallName
from relayhub.types.call import Dialect, Operation, Principal
from relayhub.types.errors import ClientError, ErrorKind, HubError, RelayhubError
from relayhub.types.http import Body
from relayhub.web.answer_stream import DROPPED
from relayhub.web.body import read_body
from relayhub.web.client_address import client_address
from relayhub.web.client_stream import ClientStream
from relayhub.web.context import CONTEXT, REQUEST_ID, WebContext
from relayhub.web.credentials import credential_of, missing_credential
from relayhub.web.once import digest_of, once_of

DRAIN_RETRY_AFTER_S = 5.0

REPLAYED = "x-relayhub-first-request"
"""Of an answer from before: the id of the request that it was made for."""

CLIENT_LEFT_STATUS = 499
"""nginx's word for it; nobody is there to read it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that an ingress has understood. ``headers``: the client's that belong to the dialect. ``digest``: of a body
    that is not bytes, where the client gave the request a name."""

    operation: Operation
    dialect: str
    body: Body
    envelope: Envelope
    headers: Mapping[str, str] = field(default_factory=dict)
    digest: str | None = None


def authenticate(request: web.Request) -> Principal:
    """The principal of the request's key, from the in-memory snapshot. Raises ``ClientError``, also where the key is not for
    this client's address."""
    context = request.app[CONTEXT]
    credential = credential_of(request)
    if credential is None:
        raise missing_credential()
    principal = context.keyring.authenticate(credential, context.clock.now())
    check_address(request, principal)
    return principal


def check_address(request: web.Request, principal: Principal) -> None:
    """Raises ``ClientError`` where the key is not for this client's address."""
    if principal.networks is not None:
        address = client_address(request, request.app[CONTEXT].trusted_proxies)
        if not principal.may_call_from(address):
            raise _wrong_address(address)


def _wrong_address(address: str) -> ClientError:
    return ClientError(
        ErrorKind.KEY_BLOCKED,
        f"This API key may not be used from the address {address or 'of a local socket'}.",
        code="address_not_allowed",
    )


def viewer(request: web.Request, *, public: bool) -> Principal | None:
    """Who looks at a model list; ``None`` for somebody without a key, where ``public`` and the config allow that."""
    if public and request.app[CONTEXT].server.public_models and credential_of(request) is None:
        return None
    return authenticate(request)


async def read(request: web.Request) -> bytes:
    """The whole body, within the configured limits. Raises ``ClientError``."""
    server = request.app[CONTEXT].server
    return await read_body(request, server.body_limit, server.body_timeout_s)


def platform_of(request: web.Request) -> str | None:
    """The provider that the path pins. Raises ``ClientError`` NOT_FOUND if there is none of that name."""
    platform = request.match_info.get("platform")
    if platform is not None:
        request.app[CONTEXT].catalog.platform(platform)
    return platform


async def serve(request: web.Request, principal: Principal, asked: Asked) -> web.StreamResponse:
    """Run the call. Errors before the head are raised, for the middleware to render; later ones become events."""
    context = request.app[CONTEXT]
    refuse_while_draining(context)
    envelope = asked.envelope
    name = _name_of(request, principal, asked)
    call = Call(
        request[REQUEST_ID],
        principal,
        asked.operation,
        asked.dialect,
        asked.body,
        envelope,
        context.clock.monotonic(),
        client_address(request, context.trusted_proxies),
        platform_of(request),
        asked.headers,
    )
    replay = None if name is None else await context.named.begin(name, call.id)
    if replay is not None:
        return _replayed(request, asked.dialect, replay)
    client = ClientStream(
        request,
        response_headers(request, asked.dialect),
        framing=envelope.framing if envelope.stream else None,
        keep_alive=context.keep_alive(asked.dialect),
        head_waits=context.serving.head_waits,
        keep_alive_s=context.server.keep_alive_s,
    )
    async with client:
        try:
            await _deliver(context, call, name, client)
        except ClientLeft:
            return client.response or web.Response(status=CLIENT_LEFT_STATUS)
    assert client.response is not None
    return client.response


def _name_of(request: web.Request, principal: Principal, asked: Asked) -> CallName | None:
    """What the client calls its request, if it does."""
    once = once_of(request)
    if once is None:
        return None
    digest = asked.digest
    if digest is None:
        assert isinstance(asked.body, bytes)
        digest = digest_of(request, request.query.get("alt", "").encode(errors="replace"), asked.body)
    return CallName(principal.key_id, once, digest)


def _replayed(request: web.Request, dialect: str, replay: Replay) -> web.Response:
    answer = replay.answer
    headers = {**response_headers(request, dialect), "content-type": answer.content_type, REPLAYED: replay.call_id}
    if answer.dropped:
        headers[DROPPED] = ", ".join(answer.dropped)
    return web.Response(body=answer.body, headers=headers)


async def _deliver(context: WebContext, call: Call, name: CallName | None, client: ClientStream) -> None:
    """An error after the head was sent can only be the dialect's error event; nothing comes after it."""
    try:
        if name is None:
            await context.pipeline.serve(call, client)
        else:
            await context.named.serve(call, name, client)
    except RelayhubError as error:
        if client.response is None:
            raise
        await client.end(context.error_event(error, call))


def response_headers(request: web.Request, dialect: str) -> dict[str, str]:
    """The request's id, under the name that the dialect's SDK reads, too."""
    request_id = request[REQUEST_ID]
    headers = {"x-request-id": request_id}
    if dialect is Dialect.ANTHROPIC_MESSAGES:
        headers["request-id"] = request_id
    return headers


def json_response(request: web.Request, body: bytes, dialect: str = Dialect.OPENAI_CHAT) -> web.Response:
    return web.Response(body=body, headers={**response_headers(request, dialect), "content-type": "application/json"})


def refuse_while_draining(context: WebContext) -> None:
    """Raises ``HubError`` UNAVAILABLE once the hub takes no new calls."""
    if context.draining:
        raise HubError(
            ErrorKind.UNAVAILABLE,
            "The server is restarting; try again in a moment.",
            code="draining",
            retry_after_s=DRAIN_RETRY_AFTER_S,
        )

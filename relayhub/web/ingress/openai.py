"""OpenAI's endpoints: chat completions, embeddings and the model list, under every OpenAI mount."""

from __future__ import annotations

from collections.abc import Mapping

import orjson
from aiohttp import web

from relayhub.dialects.codec import Envelope
from relayhub.gateway.call import Call, ClientLeft
from relayhub.types.call import Dialect, Operation, Principal
from relayhub.types.errors import ErrorKind, HubError, RelayhubError
from relayhub.types.json import JsonObject
from relayhub.web.body import defer_expectation, read_body
from relayhub.web.client_address import client_address
from relayhub.web.client_stream import ClientStream
from relayhub.web.context import CONTEXT, REQUEST_ID, WebContext
from relayhub.web.credentials import credential_of, missing_credential
from relayhub.web.mounts import OPENAI_MOUNTS, Mount

DRAIN_RETRY_AFTER_S = 5.0

CLIENT_LEFT_STATUS = 499
"""nginx's word for it; nobody is there to read it."""


def add_routes(app: web.Application, base_path: str) -> None:
    """Register every endpoint under every mount."""
    for mount in OPENAI_MOUNTS:
        prefix = base_path + mount.prefix
        handlers = OpenAIHandlers(mount)
        app.router.add_post(f"{prefix}/chat/completions", handlers.chat, expect_handler=defer_expectation)
        app.router.add_post(f"{prefix}/embeddings", handlers.embeddings, expect_handler=defer_expectation)
        app.router.add_get(f"{prefix}/models", handlers.list_models)
        app.router.add_get(f"{prefix}/models/{{model:.+}}", handlers.show_model)


class OpenAIHandlers:
    """The handlers of one mount."""

    def __init__(self, mount: Mount) -> None:
        self._mount = mount

    async def chat(self, request: web.Request) -> web.StreamResponse:
        """``POST …/chat/completions``."""
        context = request.app[CONTEXT]
        principal = authenticate(request, context)
        body = await _body(request, context)
        envelope = context.codecs.chat.envelope(body)
        return await self._serve(request, context, principal, Operation.CHAT, Dialect.OPENAI_CHAT, body, envelope)

    async def embeddings(self, request: web.Request) -> web.StreamResponse:
        """``POST …/embeddings``."""
        context = request.app[CONTEXT]
        principal = authenticate(request, context)
        body = await _body(request, context)
        envelope = context.codecs.embeddings.envelope(body)
        return await self._serve(
            request, context, principal, Operation.EMBEDDINGS, Dialect.OPENAI_EMBEDDINGS, body, envelope
        )

    async def _serve(
        self,
        request: web.Request,
        context: WebContext,
        principal: Principal,
        operation: Operation,
        dialect: Dialect,
        body: bytes,
        envelope: Envelope,
    ) -> web.StreamResponse:
        if context.draining:
            raise _draining()
        request_id = request[REQUEST_ID]
        address = client_address(request, context.trusted_proxies)
        call = Call(request_id, principal, operation, dialect, body, envelope, context.clock.monotonic(), address)
        client = ClientStream(
            request,
            {"x-request-id": request_id},
            stream=envelope.stream,
            head_wait_s=context.server.head_wait_s,
            keep_alive_s=context.server.keep_alive_s,
        )
        async with client:
            try:
                await self._deliver(context, call, client)
            except ClientLeft:
                return client.response or web.Response(status=CLIENT_LEFT_STATUS)
        assert client.response is not None
        return client.response

    async def _deliver(self, context: WebContext, call: Call, client: ClientStream) -> None:
        """An error after the head was sent can only be the dialect's error event; nothing comes after it."""
        try:
            await context.pipeline.serve(call, client)
        except RelayhubError as error:
            if client.response is None:
                raise
            await client.end(context.codecs.chat.encode_error_event(error, call.id))

    async def list_models(self, request: web.Request) -> web.Response:
        """``GET …/models``: what this key may see; without a key the public models, where the mount allows that."""
        context = request.app[CONTEXT]
        principal = self._viewer(request, context)
        data = [
            _model_object(model.name, model.owner, context.catalog.created)
            for model in context.catalog.visible(principal)
        ]
        return _json({"object": "list", "success": True, "data": list(data)}, request)

    async def show_model(self, request: web.Request) -> web.Response:
        """``GET …/models/{id}``; a slash in the id may arrive encoded or plain."""
        context = request.app[CONTEXT]
        principal = self._viewer(request, context)
        model = context.catalog.find(request.match_info["model"], principal)
        return _json(_model_object(model.name, model.owner, context.catalog.created), request)

    def _viewer(self, request: web.Request, context: WebContext) -> Principal | None:
        open_to_all = self._mount.public_models and context.server.public_models
        if open_to_all and credential_of(request) is None:
            return None
        return authenticate(request, context)


def authenticate(request: web.Request, context: WebContext) -> Principal:
    """The principal of the request's key, from the in-memory snapshot. Raises ``ClientError``."""
    credential = credential_of(request)
    if credential is None:
        raise missing_credential()
    return context.keyring.authenticate(credential, context.clock.now())


async def _body(request: web.Request, context: WebContext) -> bytes:
    return await read_body(request, context.server.body_limit, context.server.body_timeout_s)


def _model_object(name: str, owner: str, created: int) -> JsonObject:
    return {"id": name, "object": "model", "created": created, "owned_by": owner}


def _json(value: Mapping[str, object], request: web.Request) -> web.Response:
    headers = {"x-request-id": request[REQUEST_ID], "content-type": "application/json"}
    return web.Response(body=orjson.dumps(value), headers=headers)


def _draining() -> HubError:
    return HubError(
        ErrorKind.UNAVAILABLE,
        "The server is restarting; try again in a moment.",
        code="draining",
        retry_after_s=DRAIN_RETRY_AFTER_S,
    )

"""Counting the input tokens of a chat request: by the upstream where it can, else by estimate. Costs nothing, and is
therefore outside of the ledger."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from relayhub.gateway.call import Call
from relayhub.gateway.conversation import Conversations
from relayhub.gateway.lanes import CHARS_PER_TOKEN, Codecs
from relayhub.routing.catalog import Catalog, Route
from relayhub.sdk.provider import NativeCall, TokenCounter
from relayhub.types.chat import (
    ChatRequest,
    FilePart,
    ImagePart,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from relayhub.types.errors import UpstreamError
from relayhub.types.http import Effect
from relayhub.upstream.body import read_error, read_whole
from relayhub.upstream.steps import drive

log = structlog.get_logger("relayhub.call")

TOKENS_PER_MEDIA = 1_000
"""Assumed for an image or a page where nobody can say: the order of what vendors charge for one."""

TOKENS_PER_MESSAGE = 4
"""Role and separators."""


@dataclass(frozen=True, slots=True)
class Counted:
    """``native``: the upstream's own answer in the client's dialect, or ``None`` if only ``tokens`` is known."""

    tokens: int
    native: bytes | None = None


@dataclass(frozen=True, slots=True)
class Counting:
    """Serves count requests. ``call.operation`` is COUNT_TOKENS; its body is the dialect's own."""

    catalog: Catalog
    codecs: Codecs
    conversations: Conversations

    async def count(self, call: Call, chat_body: bytes | None = None) -> Counted:
        """``chat_body``: the chat request inside the body, where the dialect wraps it. Raises ``ClientError`` or
        ``UpstreamError``."""
        resolved = self.catalog.resolve(call.envelope.model, call.principal, call.operation, call.provider)
        route = resolved.routes[0]
        able = route.provider.capabilities
        if call.dialect in able.native:
            native = await self._native(call, route)
            if native is not None:
                return Counted(0, native)
        conversation = self.codecs.chat[call.dialect].decode_request(_body(call, chat_body), call.envelope)
        if able.counter is not None and call.dialect not in able.native:
            counted = await self._counted(able.counter, route, conversation)
            if counted is not None:
                return Counted(counted)
        return Counted(estimate_tokens(conversation))

    async def _native(self, call: Call, route: Route) -> bytes | None:
        """``None`` where the upstream has no such endpoint: many that speak a dialect count nothing."""
        codec, wire = self.codecs.chat[call.dialect], route.provider.capabilities.native[call.dialect]
        body = codec.native_request(_body(call, None), model=route.upstream_model, envelope=call.envelope)
        request = wire.request(NativeCall(call.operation, route.upstream_model, body, None, call.headers))
        assert request.effect is Effect.NONE, "counting must not be marked as paid"
        async with route.provider.send(request) as reply:
            if reply.status in (404, 405, 501):
                return None
            if not 200 <= reply.status < 300:
                raise wire.error(await read_error(reply))
            with route.provider.memory.lease() as lease:
                return (await read_whole(reply, lease)).body

    async def _counted(self, counter: TokenCounter, route: Route, conversation: ChatRequest) -> int | None:
        provider = route.provider
        try:
            steps = counter.count_tokens(route.upstream_model, conversation)
            with provider.memory.lease() as lease:
                return await drive(steps, provider.transport, provider.deadlines, lease)
        except UpstreamError as error:
            log.warning("count.failed", provider=provider.name, model=route.upstream_model, code=error.code)
            return None


def _body(call: Call, chat_body: bytes | None) -> bytes:
    body = call.body if chat_body is None else chat_body
    assert isinstance(body, bytes)
    return body


def estimate_tokens(request: ChatRequest) -> int:
    """Rounded up, for texts of any language."""
    chars = sum(_tool_chars(request)) + sum(_chars(part) for message in request.messages for part in message.parts)
    media = sum(_media(part) for message in request.messages for part in message.parts)
    return -(-chars // CHARS_PER_TOKEN) + media * TOKENS_PER_MEDIA + len(request.messages) * TOKENS_PER_MESSAGE


def _tool_chars(request: ChatRequest) -> list[int]:
    return [len(tool.name) + len(tool.description or "") + len(str(tool.parameters or "")) for tool in request.tools]


def _chars(part: Part) -> int:
    match part:
        case TextPart(text) | RefusalPart(text) | ReasoningPart(text):
            return len(text)
        case ToolCallPart():
            return len(part.name) + len(part.arguments)
        case ToolResultPart(parts=parts):
            return sum(_chars(inner) for inner in parts)
        case _:
            return 0


def _media(part: Part) -> int:
    match part:
        case ImagePart() | FilePart():
            return 1
        case ToolResultPart(parts=parts):
            return sum(_media(inner) for inner in parts)
        case _:
            return 0

"""A chat request on its way to being translated: decoded once, its kept state restored, its links fetched if need be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from relayhub.dialects.codec import ClientDialect
from relayhub.gateway.call import Call
from relayhub.gateway.kept_state import TurnState, refs_of, restored
from relayhub.sdk.clock import Clock
from relayhub.store.kept_turns import KeptTurn, KeptTurns
from relayhub.types.chat import ChatRequest, FilePart, ImagePart, Media, Message, Part, ToolResultPart
from relayhub.types.errors import RelayhubError, invalid_request

log = structlog.get_logger("relayhub.call")

MAX_FETCHED = 32
"""Links of one request that the hub fetches itself."""


class Fetcher(Protocol):
    """See :class:`relayhub.upstream.media.MediaFetcher`."""

    async def fetch(self, url: str, path: str) -> Media: ...


@dataclass(frozen=True, slots=True)
class Conversations:
    """What outlives a call: the kept turns, and the way to media."""

    kept: KeptTurns
    media: Fetcher
    clock: Clock

    def of(self, codec: ClientDialect, call: Call) -> Conversation:
        return Conversation(self, codec, call)

    async def keep(self, call: Call, provider: str, state: TurnState | None) -> None:
        """Durable when this returns. Never fails the call: what cannot be kept is thinking that is off next time."""
        refs = state.refs if state is not None else ()
        if state is None or not refs:
            return
        dumped = state.dump()
        rows = [KeptTurn(ref, provider, dumped) for ref in refs]
        try:
            await self.kept.keep(call.principal.account_id, rows, self.clock.now())
        except RelayhubError as error:
            log.warning("state.not_kept", call_id=call.id, detail=str(error))


class Conversation:
    """One call's request in the hub's words. Everything is done at most once, and only when somebody asks."""

    def __init__(self, shared: Conversations, codec: ClientDialect, call: Call) -> None:
        self._shared = shared
        self._codec = codec
        self._call = call
        self._decoded: ChatRequest | None = None
        self._inline: ChatRequest | None = None
        self._kept: dict[str, KeptTurn] = {}

    async def request(self, *, inline_media: bool) -> ChatRequest:
        """Raises ``ClientError`` naming the field. ``inline_media``: links are replaced by what they link to."""
        decoded = await self._restored()
        if not inline_media:
            return decoded
        if self._inline is None:
            self._inline = await _Inliner(self._shared.media).request(decoded)
        return self._inline

    async def last_provider(self) -> str | None:
        """Who made the latest thinking that the conversation carries: only there it is of use."""
        await self._restored()
        return next((turn.provider for turn in reversed(self._kept.values())), None)

    async def _restored(self) -> ChatRequest:
        if self._decoded is None:
            assert isinstance(self._call.body, bytes)
            decoded = self._codec.decode_request(self._call.body, self._call.envelope)
            refs = refs_of(decoded.messages)
            found = await self._find(refs) if refs else {}
            self._kept = {ref: found[ref] for ref in refs if ref in found}
            self._decoded = restored(decoded, {ref: turn.state for ref, turn in self._kept.items()})
        return self._decoded

    async def _find(self, refs: Sequence[str]) -> dict[str, KeptTurn]:
        account_id, now = self._call.principal.account_id, self._shared.clock.now()
        return dict(await self._shared.kept.find(account_id, refs, now))


class _Inliner:
    """Replaces links by their bytes, one after the other: a request cannot make the hub open many connections."""

    def __init__(self, media: Fetcher) -> None:
        self._media = media
        self._fetched: dict[str, Media] = {}

    async def request(self, request: ChatRequest) -> ChatRequest:
        messages = [await self._message(message, f"messages[{i}]") for i, message in enumerate(request.messages)]
        return replace(request, messages=tuple(messages))

    async def _message(self, message: Message, path: str) -> Message:
        return replace(message, parts=await self._parts(message.parts, path))

    async def _parts(self, parts: Sequence[Part], path: str) -> tuple[Part, ...]:
        return tuple([await self._part(part, f"{path}.content[{i}]") for i, part in enumerate(parts)])

    async def _part(self, part: Part, path: str) -> Part:
        match part:
            case ImagePart(media) | FilePart(media) if media.url is not None:
                return replace(part, media=await self._media_of(media.url, media.media_type, path))
            case ToolResultPart():
                return replace(part, parts=await self._parts(part.parts, path))
            case _:
                return part

    async def _media_of(self, url: str, media_type: str | None, path: str) -> Media:
        if url not in self._fetched:
            if len(self._fetched) >= MAX_FETCHED:
                raise invalid_request(
                    f"{path} is one link too many ({MAX_FETCHED}).", code="too_many_links", param=path
                )
            self._fetched[url] = await self._media.fetch(url, path)
        fetched = self._fetched[url]
        return replace(fetched, media_type=media_type or fetched.media_type)

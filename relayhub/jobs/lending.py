"""For upstreams that take only links: what a client sends inline is kept for a day, and the upstream is given a link."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from ulid import ULID

from relayhub.jobs.files import FileStore, TooLarge
from relayhub.jobs.links import Links
from relayhub.sdk.clock import Clock
from relayhub.types.chat import Media
from relayhub.types.errors import RelayhubError, invalid_request
from relayhub.types.media import MediaInput, MediaRequest, SpeechRequest

PREFIX = "lent_"
LENT_S = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Lending:
    """``public``: the hub has an address that upstreams can reach."""

    files: FileStore
    links: Links
    clock: Clock
    public: bool

    async def with_links(self, request: MediaRequest) -> MediaRequest:
        """Every inline input as a link. Raises ``ClientError`` naming the first one if the hub cannot be reached."""
        if isinstance(request, SpeechRequest) or all(given.media.data is None for given in request.inputs):
            return request
        lent: list[MediaInput] = []
        try:
            for given in request.inputs:
                lent.append(await self._lend(given))
        except RelayhubError:
            await self._delete(request.inputs, lent)
            raise
        return replace(request, inputs=tuple(lent))

    async def take_back(self, request: MediaRequest, lent: MediaRequest | None) -> None:
        """``lent``: what :meth:`with_links` made of it. Nobody was told the links."""
        if lent is not None and not isinstance(request, SpeechRequest) and not isinstance(lent, SpeechRequest):
            await self._delete(request.inputs, lent.inputs)

    async def _delete(self, inputs: Sequence[MediaInput], lent: Sequence[MediaInput]) -> None:
        for given, link in zip(inputs, lent, strict=False):
            if given.media.data is not None and link.media.url is not None:
                with contextlib.suppress(OSError):
                    await self.files.delete(urlsplit(link.media.url).path.rpartition("/")[2])

    async def _lend(self, given: MediaInput) -> MediaInput:
        data = given.media.data
        if data is None:
            return given
        if not self.public:
            raise invalid_request(
                f"{given.field}: this model takes links only, and this server has no public address to lend one; send a"
                " link that everybody can open.",
                code="link_needed",
                param=given.field,
            )
        name = f"{PREFIX}{ULID()}"
        try:
            await self.files.write(name, _once(base64.b64decode(data)))
        except TooLarge:
            raise invalid_request(f"{given.field} is too large.", code="input_too_large", param=given.field) from None
        link = self.links.to_file(name, self.clock.now() + LENT_S)
        return replace(given, media=Media(url=link, media_type=given.media.media_type))


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data

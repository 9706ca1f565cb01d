"""Fetching a result that an upstream links to, piece by piece: from the upstream's own host through its transport, from
anywhere else only at public addresses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit

import aiohttp

from relayhub.types.errors import ErrorKind, UpstreamError
from relayhub.types.http import Deadlines
from relayhub.upstream.guard import NotPublic, pinned_session, public_addresses

READ_SIZE = 256 << 10
MAX_REDIRECTS = 3
"""Storage services redirect to their regions; each hop is checked again."""
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class Download:
    """A file on its way. ``media_type`` as its server says it; ``chunks`` raises ``UpstreamError``."""

    media_type: str | None
    chunks: AsyncGenerator[bytes, None] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Downloader:
    """``private_hosts``: names whose addresses need not be public."""

    user_agent: str
    deadlines: Deadlines
    private_hosts: Collection[str] = ()

    @asynccontextmanager
    async def open(self, url: str) -> AsyncGenerator[Download, None]:
        """Raises ``UpstreamError``; never ``delivered``, as it costs nothing to ask again."""
        for _ in range(MAX_REDIRECTS + 1):
            async with self._one(url) as response:
                if response.status not in _REDIRECTS:
                    async with aclosing(self._chunks(response)) as chunks:
                        yield Download(_media_type(response.headers), chunks)
                    return
                url = urljoin(url, response.headers.get("location", ""))
        raise lost("it redirects too often", None)

    @asynccontextmanager
    async def _one(self, url: str) -> AsyncGenerator[aiohttp.ClientResponse, None]:
        try:
            parts = urlsplit(url)
        except ValueError:
            raise lost("it is no address", None) from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise lost("it is no http or https link", None)
        limits = self.deadlines
        timeout = aiohttp.ClientTimeout(
            total=limits.total_s, sock_connect=limits.connect_s, sock_read=min(limits.idle_s, limits.first_byte_s)
        )
        try:
            async with asyncio.timeout(limits.connect_s):
                addresses = await public_addresses(parts.hostname, self.private_hosts)
            async with (
                pinned_session(addresses, self.user_agent) as session,
                session.get(url, allow_redirects=False, timeout=timeout) as response,
            ):
                if response.status != 200 and response.status not in _REDIRECTS:
                    raise lost(f"its server answered {response.status}", response.status)
                yield response
        except NotPublic:
            raise lost("its address is not a public one", None) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise lost("the connection failed", None, detail=repr(error)) from error

    async def _chunks(self, response: aiohttp.ClientResponse) -> AsyncGenerator[bytes, None]:
        async for data in response.content.iter_chunked(READ_SIZE):
            yield data


def _media_type(headers: Mapping[str, str]) -> str | None:
    return headers.get("content-type", "").partition(";")[0].strip().lower() or None


def lost(why: str, status: int | None, *, detail: str | None = None) -> UpstreamError:
    """A result that cannot be fetched, at least not now."""
    return UpstreamError(
        ErrorKind.UPSTREAM_FAILED,
        f"The result could not be fetched from the upstream: {why}.",
        code="result_not_fetched",
        retryable=True,
        delivered=False,
        status=status,
        detail=detail,
    )

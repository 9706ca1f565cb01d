"""Fetching media that a request links to, for upstreams that take no links: under a guard, because clients choose the
address. Resolved once, only public addresses, the connection pinned to what was checked, no redirects, bounded."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp

from relayhub.types.chat import Media
from relayhub.types.errors import ClientError, invalid_request
from relayhub.upstream.guard import NotPublic, pinned_session, public_addresses

READ_SIZE = 64 << 10


@dataclass(frozen=True, slots=True)
class MediaLimits:
    """``private_hosts``: names whose addresses need not be public, such as an own file server."""

    max_bytes: int = 20 << 20
    timeout_s: float = 15.0
    private_hosts: Collection[str] = ()


class MediaFetcher:
    """Downloads one link at a time; keeps nothing."""

    def __init__(self, limits: MediaLimits, user_agent: str) -> None:
        self._limits = limits
        self._user_agent = user_agent

    async def fetch(self, url: str, path: str) -> Media:
        """The bytes behind ``url``, inline. ``path``: the field that holds it, for the ``ClientError`` that is raised
        if it cannot be had."""
        try:
            parts = urlsplit(url)
        except ValueError:
            raise _refused(path, "it is not an address") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise _refused(path, "only http and https links can be fetched")
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                return await self._get(url, parts.hostname, path)
        except TimeoutError:
            raise _refused(path, f"it did not arrive within {self._limits.timeout_s:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _refused(path, "the connection failed", detail=repr(error)) from error

    async def _get(self, url: str, host: str, path: str) -> Media:
        try:
            addresses = await public_addresses(host, self._limits.private_hosts)
        except NotPublic:
            raise _refused(path, "its address is not a public one") from None
        async with (
            pinned_session(addresses, self._user_agent) as session,
            session.get(url, allow_redirects=False) as response,
        ):
            if response.status != 200:
                raise _refused(path, f"its server answered {response.status}")
            content = await self._read(response, path)
        media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        return Media(data=base64.b64encode(content).decode(), media_type=media_type or None)

    async def _read(self, response: aiohttp.ClientResponse, path: str) -> bytes:
        content = bytearray()
        async for data in response.content.iter_chunked(READ_SIZE):
            content += data
            if len(content) > self._limits.max_bytes:
                raise _refused(path, f"it is larger than {self._limits.max_bytes} bytes")
        return bytes(content)


def _refused(path: str, why: str, detail: str | None = None) -> ClientError:
    error = invalid_request(
        f"The link in {path} cannot be used with this model: {why}. Send the data inline instead.",
        code="media_not_fetched",
        param=path,
    )
    error.detail = detail
    return error

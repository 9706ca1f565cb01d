"""Fetching media that a request links to, for upstreams that take no links: under a guard, because clients choose the
address. Resolved once, only public addresses, the connection pinned to what was checked, no redirects, bounded."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import socket
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from relayhub.types.chat import Media
from relayhub.types.errors import ClientError, invalid_request

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
        parts = urlsplit(url)
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
        resolver = _Pinned(await self._addresses(host, path))
        connector = aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False, force_close=True)
        async with (
            aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar(), headers={"user-agent": self._user_agent}
            ) as session,
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

    async def _addresses(self, host: str, path: str) -> list[ResolveResult]:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys((family, str(address[0])) for family, _, _, _, address in found))
        if host not in self._limits.private_hosts and not all(_is_public(address) for _, address in addresses):
            raise _refused(path, "its address is not a public one")
        return [
            ResolveResult(hostname=host, host=address, port=0, family=family, proto=0, flags=socket.AI_NUMERICHOST)
            for family, address in addresses
        ]


def _is_public(address: str) -> bool:
    parsed = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(parsed, "ipv4_mapped", None) or getattr(parsed, "sixtofour", None)
    if mapped is not None:
        parsed = mapped
    return parsed.is_global and not parsed.is_multicast


class _Pinned(AbstractResolver):
    """Gives the addresses that were checked, whatever the name's server says by now."""

    def __init__(self, addresses: Sequence[ResolveResult]) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [{**address, "port": port} for address in self._addresses]

    async def close(self) -> None:
        return


def _refused(path: str, why: str, detail: str | None = None) -> ClientError:
    error = invalid_request(
        f"The link in {path} cannot be used with this model: {why}. Send the data inline instead.",
        code="media_not_fetched",
        param=path,
    )
    error.detail = detail
    return error

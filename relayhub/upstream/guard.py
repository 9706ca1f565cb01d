"""Connections to addresses that others choose: resolved once, public ones only, pinned to what was checked."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Collection, Sequence

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult


class NotPublic(Exception):
    """The name has an address that is not a public one."""


async def public_addresses(host: str, private_hosts: Collection[str]) -> list[ResolveResult]:
    """``private_hosts``: names whose addresses need not be public. Raises ``NotPublic``, ``OSError``."""
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys((family, str(address[0])) for family, _, _, _, address in found))
    if host not in private_hosts and not all(is_public(address) for _, address in addresses):
        raise NotPublic(host)
    return [
        ResolveResult(hostname=host, host=address, port=0, family=family, proto=0, flags=socket.AI_NUMERICHOST)
        for family, address in addresses
    ]


def is_public(address: str) -> bool:
    parsed = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(parsed, "ipv4_mapped", None) or getattr(parsed, "sixtofour", None)
    if mapped is not None:
        parsed = mapped
    return parsed.is_global and not parsed.is_multicast


def pinned_session(addresses: Sequence[ResolveResult], user_agent: str) -> aiohttp.ClientSession:
    """For one request: it goes to these addresses, whatever the name's server says by now."""
    connector = aiohttp.TCPConnector(resolver=_Pinned(addresses), use_dns_cache=False, force_close=True)
    return aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), headers={"user-agent": user_agent}
    )


class _Pinned(AbstractResolver):
    def __init__(self, addresses: Sequence[ResolveResult]) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [{**address, "port": port} for address in self._addresses]

    async def close(self) -> None:
        return

"""Who is calling: the peer, or, behind a trusted proxy, whom the proxy says it speaks for."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from aiohttp import web

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def client_address(request: web.Request, trusted: Sequence[Network]) -> str:
    """The nearest address that is not a trusted proxy; a client cannot forge it, since only what trusted proxies appended
    to ``X-Forwarded-For`` is believed. Empty for a unix socket without one."""
    return nearest_address(request.remote or "", request.headers.getall("x-forwarded-for", []), trusted)


def nearest_address(peer: str, forwarded: Sequence[str], trusted: Sequence[Network]) -> str:
    """The same from its parts: ``forwarded``, the values of ``X-Forwarded-For`` in their order."""
    if not (trusted and forwarded):
        return peer
    hops = [hop.strip() for value in forwarded for hop in value.split(",")]
    nearest = peer
    while _is_trusted(nearest, trusted) and hops:
        nearest = hops.pop()
    return nearest


def is_trusted_proxy(request: web.Request, trusted: Sequence[Network]) -> bool:
    """Whether the peer's own forwarding headers are believed."""
    return _is_trusted(request.remote or "", trusted)


def _is_trusted(address: str, trusted: Sequence[Network]) -> bool:
    """A unix socket has no address: whoever can open it is on this machine, usually the proxy."""
    if not address:
        return bool(trusted)
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in trusted)

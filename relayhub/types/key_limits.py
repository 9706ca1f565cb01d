"""What a key may do beside spending its quota. The ledger decides the counts in its transaction, the rest is checked before
that."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import TypeAlias

from relayhub.types.on_disconnect import OnDisconnect

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Networks: TypeAlias = tuple[Network, ...]

MAX_LIMIT = 2**53
"""Far above any use, and exact in every JSON reader."""


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """``None``: no limit. Raises ``ValueError`` for a count that is not from 1 to :data:`MAX_LIMIT`.

    ``providers``: configured names or types. ``networks``: addresses and CIDRs that it may be used from.
    ``tokens_per_minute``: input and output of calls, by estimate until a call has ended. ``concurrent_calls``: calls that
    are answered while the client waits; ``jobs_in_flight``: jobs, from their submit to their end.
    ``video_seconds_per_day``, ``spend_per_day_nano``, ``spend_per_month_nano``: days and months of the configured zone; a
    limit counts from when it is set. What is charged for the window in which a call was admitted is corrected there.
    ``on_disconnect``: what becomes of a call whose client leaves; ``None``: as its model or the config has it.
    """

    providers: tuple[str, ...] | None = None
    networks: tuple[str, ...] | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent_calls: int | None = None
    jobs_in_flight: int | None = None
    video_seconds_per_day: int | None = None
    spend_per_day_nano: int | None = None
    spend_per_month_nano: int | None = None
    on_disconnect: OnDisconnect | None = None

    def __post_init__(self) -> None:
        for name in COUNTS:
            count = getattr(self, name)
            if count is not None and not 1 <= count <= MAX_LIMIT:
                raise ValueError(f"{name} must be from 1 to {MAX_LIMIT}, not {count}")


_OTHERS = frozenset({"providers", "networks", "on_disconnect"})
COUNTS = tuple(field.name for field in fields(KeyLimits) if field.name not in _OTHERS)
"""The limits that are numbers."""

NO_LIMITS = KeyLimits()


def parse_networks(texts: Iterable[str]) -> Networks:
    """Raises ``ValueError`` naming what is neither an address nor a network."""
    return tuple(ipaddress.ip_network(text.strip()) for text in texts)


def lies_within(address: str, networks: Networks) -> bool:
    """``address``: as a socket or a proxy says it; whatever cannot be read lies nowhere. An IPv4 address that came in over
    IPv6 is the IPv4 address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return any((mapped or parsed) in network for network in networks)

"""Names to addresses, off the loop and off its thread pool: a name server that hangs holds up nothing but its own name."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, zip_longest
from typing import TypeAlias

Address: TypeAlias = "tuple[socket.AddressFamily, str]"
LookUp: TypeAlias = Callable[[str], Sequence[Address]]

TTL_S = 10.0
"""Of an answer: bursts of new connections ask once, and a changed address is seen soon."""

MAX_NAMES = 256
"""Kept at a time. A provider has a handful; a plugin that makes up names must not fill the memory."""


def look_up(host: str) -> Sequence[Address]:
    """Ask the system; blocks. Raises ``OSError``."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys((family, str(address[0])) for family, _, _, _, address in found))


@dataclass(frozen=True, slots=True)
class _Known:
    addresses: Sequence[Address]
    until: float


class Resolver:
    """``ask`` blocks, in a thread of its own for each name; a second question for a name waits for the first."""

    def __init__(self, ask: LookUp = look_up) -> None:
        self._ask = ask
        self._numbers = lru_cache(MAX_NAMES)(_numeric)
        self._known: dict[str, _Known] = {}
        self._asking: dict[str, asyncio.Future[Sequence[Address] | OSError]] = {}

    async def resolve(self, host: str) -> Sequence[Address]:
        """In the order to try them, families in turn. Raises ``OSError``."""
        number = self._numbers(host)
        if number is not None:
            return number
        known = self._known.get(host)
        if known is not None and known.until > asyncio.get_running_loop().time():
            return known.addresses
        found = await asyncio.shield(self._asking.get(host) or self._start(host))
        if isinstance(found, OSError):
            raise found
        return found

    def _start(self, host: str) -> asyncio.Future[Sequence[Address] | OSError]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Sequence[Address] | OSError] = loop.create_future()
        self._asking[host] = answer

        def done(found: Sequence[Address] | OSError) -> None:
            del self._asking[host]
            if not isinstance(found, OSError):
                found = in_turn(found)
                self._keep(host, found, loop.time() + TTL_S)
            answer.set_result(found)

        def run() -> None:
            found = self._blocking(host)
            try:
                loop.call_soon_threadsafe(done, found)
            except RuntimeError:
                return  # the loop was closed meanwhile; nobody waits any more

        # A daemon: the process need not wait for a name server to exit.
        threading.Thread(target=run, name=f"resolve {host}", daemon=True).start()
        return answer

    def _blocking(self, host: str) -> Sequence[Address] | OSError:
        try:
            return self._ask(host)
        except OSError as error:
            return error
        except ValueError as error:  # a label that is empty or too long
            return OSError(f"{host!r} cannot be looked up: {error}")

    def _keep(self, host: str, found: Sequence[Address], until: float) -> None:
        if len(self._known) >= MAX_NAMES:
            self._known.clear()
        self._known[host] = _Known(found, until)


def _numeric(host: str) -> Sequence[Address] | None:
    """What needs not be asked for; ``None``: it is a name."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except OSError:
        return None
    return [(family, str(address[0])) for family, _, _, _, address in found]


def in_turn(addresses: Sequence[Address]) -> Sequence[Address]:
    """The system's order, but alternating between IPv6 and IPv4: a network without one of them costs one try, not many."""
    first = [address for address in addresses if address[0] is addresses[0][0]]
    others = [address for address in addresses if address[0] is not addresses[0][0]]
    return [address for address in chain.from_iterable(zip_longest(first, others)) if address is not None]

"""HTTP as plugins see it: values, not sockets. The hub does the sending."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, TypeAlias


class Effect(StrEnum):
    """What repeating a request could cost.

    ``NONE`` may be repeated freely. After a ``PAID`` request was sent its outcome can be ambiguous: it is sent at most
    once per route, and never again once the upstream may have executed it.
    """

    NONE = "none"
    PAID = "paid"


class Spool(Protocol):
    """Bytes that are kept on disk rather than in memory."""

    def read_at(self, start: int, size: int) -> bytes:
        """At most ``size`` bytes from ``start``; fewer only at the end."""
        ...


@dataclass(frozen=True, slots=True)
class SpoolSlice:
    """The bytes ``start`` to ``end`` (exclusive) of a spool."""

    spool: Spool
    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start


Body: TypeAlias = "bytes | tuple[bytes | SpoolSlice, ...]"
"""A request body: in memory, or in pieces of which some are streamed from disk."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request to an upstream. ``url`` is absolute and already percent-encoded; header names are lower case.

    ``dropped``: fields of the client's request that the upstream cannot be told and that do not change its meaning; the
    client is told their names.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body = b""
    effect: Effect = Effect.PAID
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HttpReply:
    """A whole answer of an upstream, body read up to the hub's cap. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Limits in seconds on every wait for an upstream; each one counts from the step before it."""

    connect_s: float = 10.0
    first_byte_s: float = 300.0
    """Request sent until the answer's head has come (reasoning models think before they answer)."""
    idle_s: float = 300.0
    """Between two reads of the body."""
    total_s: float = 3600.0

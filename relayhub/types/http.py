"""HTTP as plugins see it: values, not sockets. The hub does the sending."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Effect(StrEnum):
    """What repeating a request could cost.

    ``NONE`` may be repeated freely. After a ``PAID`` request was sent its outcome can be ambiguous: it is sent at most
    once per route, and never again once the upstream may have executed it.
    """

    NONE = "none"
    PAID = "paid"


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request to an upstream. ``url`` is absolute and already percent-encoded; header names are lower case."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    effect: Effect = Effect.PAID


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

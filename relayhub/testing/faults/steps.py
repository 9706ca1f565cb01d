"""What a faulty upstream does with a connection, step by step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from relayhub.testing.upstream import Gate, Hang, Wait


@dataclass(frozen=True, slots=True)
class Trickle:
    """Sends ``data`` in pieces of ``size`` bytes with a pause after each."""

    data: bytes
    every_s: float
    size: int = 1


@dataclass(frozen=True, slots=True)
class Flood:
    """Sends ``data`` again and again, as fast as the other side reads; without ``times`` until it leaves."""

    data: bytes
    times: int | None = None
    every_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Ticks:
    """Sends what ``make`` gives at that moment, ``times`` times with a pause before each: for events that say when they
    were sent."""

    make: Callable[[], bytes]
    times: int
    every_s: float


@dataclass(frozen=True, slots=True)
class Close:
    """Ends the connection in order (FIN)."""


@dataclass(frozen=True, slots=True)
class Reset:
    """Breaks the connection (RST): what was sent and not yet read is lost to the other side."""


Step: TypeAlias = bytes | Trickle | Flood | Ticks | Wait | Hang | Gate | Close | Reset
"""Bytes are sent as they are. After the last step the connection serves the next request, unless that step ended it."""


@dataclass(frozen=True, slots=True)
class Fault:
    """The answer to one request. ``executed``: whether the upstream did, and would bill, the work."""

    steps: tuple[Step, ...]
    executed: bool = True


def does(*steps: Step, executed: bool = True) -> Fault:
    """A fault from its steps."""
    return Fault(steps, executed)

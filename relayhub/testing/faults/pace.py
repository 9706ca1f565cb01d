"""Answers that come too slowly, or never end."""

from __future__ import annotations

from relayhub.testing.faults.answers import chunks, streamed
from relayhub.testing.faults.steps import Fault, Flood, Trickle, does
from relayhub.testing.upstream import Gate, Hang, Wait


def silence(executed: bool = True) -> Fault:
    """The request is read and never answered."""
    return does(Hang(), executed=executed)


def slow_head(answer: bytes, seconds: float) -> Fault:
    """A good answer after a while."""
    return does(Wait(seconds), answer)


def held(answer: bytes, gate: Gate) -> Fault:
    """A good answer once the gate opens."""
    return does(gate, answer)


def trickle(answer: bytes, every_s: float, size: int = 1) -> Fault:
    """A good answer, a few bytes at a time."""
    return does(Trickle(answer, every_s, size))


def stalls_after(*good: bytes) -> Fault:
    """A stream that falls silent after these pieces."""
    return does(streamed(*good, end=False), Hang())


def endless_stream(event: bytes, every_s: float = 0.0) -> Fault:
    """The same event for ever, as fast as it is read or at a pace."""
    return does(streamed(end=False), Flood(chunks(event), every_s=every_s))

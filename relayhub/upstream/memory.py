"""How much memory bodies that are held whole may take, and how much they have: one count for the process, of all large ones,
from their first byte until the last has been written."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Protocol

from relayhub.sdk.clock import Clock
from relayhub.upstream.faults import memory_short

SMALL = 64 << 10
"""Bytes of a body that is not counted: every call may have so much."""

LARGE = 4 << 20
"""Bytes of a block that needs memory of its own; smaller ones fit between what is there already."""

MODEST = 1 << 20
"""Bytes of a body that does not wait behind larger ones."""

COPIES = 3
"""Times of its size that a body may take while it comes and is worked on: itself, what is made of it, and the making."""

WAIT_S = 10.0
"""How long an answer waits for others to be gone. It is paid for, and upstreams bear slow readers for longer."""

LOOK_S = 0.25
"""Between two looks at the machine."""

GIVE_BACK_S = 2.0
"""Between two times that everything is looked for that could be given back, which takes a moment."""


@dataclass(frozen=True, slots=True)
class Left:
    """Bytes that a process may still take, below 0 where it has too much: in blocks of any size, and in such as are smaller
    than :data:`LARGE`. ``kept``: so many of them are for what is under way."""

    large: int
    small: int
    kept: int = 0

    def of(self, block: int) -> int:
        return self.small if block < LARGE else self.large


class Supply(Protocol):
    """Where the memory comes from; see :class:`relayhub.web.machine.Machine`."""

    def memory_left(self) -> Left: ...
    def give_back(self) -> None: ...


class BodyMemory:
    """Use on one loop. ``supply`` ``None``: nobody counts."""

    def __init__(self, clock: Clock | None = None, supply: Supply | None = None, wait_s: float = WAIT_S) -> None:
        self._clock = clock
        self._supply = supply
        self._wait_s = wait_s
        self._left = Left(0, 0)
        self._promised = 0
        """Of what was left at the last look."""
        self._looked_at = self._gave_back_at = float("-inf")
        self._leases: set[Lease] = set()
        self._queue: deque[_Waiting] = deque()
        self._next_look: asyncio.TimerHandle | None = None

    def lease(self) -> Lease:
        """For one body at a time. Use as a context manager."""
        return Lease(self)

    def crowded(self) -> bool:
        """Answers that are paid for wait for memory, or soon would: nothing else should be begun."""
        if self._queue or not self._leases:
            return bool(self._queue)
        self._look_if_old()
        return self._left.small - self._promised < self._left.kept

    @property
    def held(self) -> int:
        """Bytes that all bodies together have, or were promised."""
        return sum(lease.promised for lease in self._leases)

    # For leases

    def take(self, lease: Lease, size: int) -> bool:
        """Promise ``lease`` what a body of ``size`` bytes needs, if that is left."""
        wanted = COPIES * size - lease.promised
        if self._supply is None or wanted <= 0:
            return True
        if (self._queue and not lease.promised and size > MODEST) or not self._has(self._supply, wanted, size):
            return False
        self._give(lease, wanted)
        return True

    async def wait(self, lease: Lease, size: int) -> None:
        """Until it has been promised. Raises ``UpstreamError`` where that takes too long, or can never be."""
        if COPIES * size > self._left.of(size) - self._promised + self.held:
            raise memory_short()
        waiting = _Waiting(lease, size, asyncio.get_running_loop().create_future())
        # Whoever has a part already goes first: only with the rest does it ever give anything up.
        (self._queue.appendleft if lease.promised else self._queue.append)(waiting)
        self._serve()
        try:
            async with asyncio.timeout(self._wait_s):
                granted = await waiting.turn
        except TimeoutError:
            granted = False
        finally:
            if waiting in self._queue:
                self._queue.remove(waiting)
            self._serve()
        if not granted:
            raise memory_short()

    def give_up(self, lease: Lease, kept: int) -> None:
        """All but ``kept`` bytes of what it was promised."""
        if lease not in self._leases:
            return
        self._promised -= lease.promised - kept
        lease.promised = kept
        if not kept:
            self._leases.discard(lease)
        if self._queue:
            self._serve()

    def _give(self, lease: Lease, wanted: int) -> None:
        self._promised += wanted
        lease.promised += wanted
        self._leases.add(lease)

    def _serve(self) -> None:
        """Those whose turn it is. Where nobody is left who could give something up, one that holds a part must."""
        supply = self._supply
        assert supply is not None
        while self._queue:
            first = self._queue[0]
            wanted = COPIES * first.size - first.lease.promised
            if not self._has(supply, wanted, first.size):
                break
            self._queue.popleft()
            self._give(first.lease, wanted)
            first.end(granted=True)
        stuck = [waiting for waiting in self._queue if waiting.lease.promised]
        if stuck and sum(waiting.lease.promised for waiting in stuck) >= self.held:
            self._queue.remove(stuck[-1])
            stuck[-1].end(granted=False)
        self._look_again()

    def _look_again(self) -> None:
        """Others may free something, too."""
        if self._next_look is not None:
            self._next_look.cancel()
        self._next_look = asyncio.get_running_loop().call_later(LOOK_S, self._serve) if self._queue else None

    # What there is

    def _has(self, supply: Supply, wanted: int, block: int) -> bool:
        now = self._look_if_old()
        if self._left.of(block) - self._promised >= wanted:
            return True
        if now - self._gave_back_at < GIVE_BACK_S:
            return False
        self._gave_back_at = now
        supply.give_back()
        self._looked_at = float("-inf")
        self._look_if_old()
        return self._left.of(block) - self._promised >= wanted

    def _look_if_old(self) -> float:
        """The time. What has come of the bodies is missing at the machine already."""
        assert self._clock is not None
        assert self._supply is not None
        now = self._clock.monotonic()
        if now - self._looked_at >= LOOK_S:
            self._looked_at = now
            self._left = self._supply.memory_left()
            self._promised = sum(max(0, lease.promised - lease.come) for lease in self._leases)
        return now


class Lease:
    """A body's part. ``promised``: bytes of memory; ``come``: bytes of it that are there."""

    __slots__ = ("_memory", "come", "promised")

    def __init__(self, memory: BodyMemory) -> None:
        self._memory = memory
        self.promised = 0
        self.come = 0

    def take(self, size: int) -> bool:
        """Whether a body of ``size`` bytes may come."""
        return size <= SMALL or self._memory.take(self, size)

    async def wait(self, size: int) -> None:
        """Until it may. Raises ``UpstreamError`` where that takes too long, or can never be."""
        await self._memory.wait(self, size)

    def settle(self, size: int) -> None:
        """Nothing of it is left but ``size`` bytes, which somebody still has to read."""
        if self.promised > size:
            self._memory.give_up(self, size)
            self.come = self.promised

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *_: object) -> None:
        if self.promised:
            self.settle(0)


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    """``turn``: whether it was promised, once that is decided."""

    lease: Lease
    size: int
    turn: asyncio.Future[bool]

    def end(self, *, granted: bool) -> None:
        if not self.turn.done():  # else its call was cancelled, and gives up what it was promised
            self.turn.set_result(granted)

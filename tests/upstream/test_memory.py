"""Bodies that are held whole are counted together, and wait for each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field

import pytest

from relayhub.testing import FakeClock
from relayhub.types.errors import ErrorKind, UpstreamError
from relayhub.types.limits import MAX_UPSTREAM_BODY
from relayhub.upstream.body import read_whole
from relayhub.upstream.faults import too_slow
from relayhub.upstream.memory import COPIES, GIVE_BACK_S, LARGE, LOOK_S, MODEST, SMALL, BodyMemory, Lease, Left

MIB = 1 << 20


@dataclass
class Process:
    """A process with so much memory. ``used``: by others than bodies; ``pieces``: of that, free again, but in pieces."""

    memory: int
    used: int = 0
    pieces: int = 0
    looks: int = 0
    helped: int = 0
    back: int = 0
    """What handing back brings."""
    bodies: Callable[[], int] = field(default=lambda: 0)

    def memory_left(self) -> Left:
        self.looks += 1
        left = self.memory - self.used - self.bodies()
        return Left(left, left + self.pieces)

    def give_back(self) -> None:
        self.helped += 1
        self.used -= self.back
        self.back = 0


def counted(process: Process, wait_s: float = 5.0) -> tuple[BodyMemory, FakeClock]:
    clock = FakeClock()
    return BodyMemory(clock, process, wait_s), clock


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_a_small_body_is_not_counted() -> None:
    process = Process(0)
    memory, _ = counted(process)
    lease = memory.lease()
    assert lease.take(SMALL)
    assert not lease.take(SMALL + 1)
    assert (memory.held, memory.crowded()) == (0, False)


def test_without_a_supply_nothing_is_counted() -> None:
    memory = BodyMemory()
    with memory.lease() as lease:
        assert lease.take(MAX_UPSTREAM_BODY)
        assert memory.held == 0


def test_a_body_has_what_working_on_it_needs_then_its_size_then_nothing() -> None:
    memory, _ = counted(Process(100 * MIB))
    with memory.lease() as lease:
        assert lease.take(10 * MIB)
        assert memory.held == COPIES * 10 * MIB
        lease.settle(9 * MIB)
        assert memory.held == 9 * MIB
    assert memory.held == 0


def test_what_has_been_promised_is_promised_to_nobody_else() -> None:
    memory, _ = counted(Process(100 * MIB))
    first, second = memory.lease(), memory.lease()
    assert first.take(20 * MIB)
    assert not second.take(20 * MIB)
    first.settle(5 * MIB)
    assert second.take(20 * MIB)
    first.settle(0)
    assert not memory.lease().take(20 * MIB)


def test_between_two_looks_nobody_asks_the_machine() -> None:
    process = Process(100 * MIB)
    memory, clock = counted(process)
    leases = [memory.lease() for _ in range(20)]
    assert all(lease.take(MIB) for lease in leases)
    assert process.looks == 1
    clock.advance(LOOK_S)
    process.used = 100 * MIB
    assert not memory.lease().take(MIB)


def test_what_has_come_is_not_counted_twice_after_a_look() -> None:
    process = Process(100 * MIB)
    memory, clock = counted(process)
    first = memory.lease()
    process.bodies = lambda: first.come
    assert first.take(20 * MIB)
    first.come = 20 * MIB
    clock.advance(LOOK_S)
    assert not memory.lease().take(14 * MIB)  # 100 - 60
    assert memory.lease().take(13 * MIB)


def test_pieces_are_of_use_for_small_blocks_only() -> None:
    memory, _ = counted(Process(100 * MIB, used=100 * MIB, pieces=50 * MIB))
    assert not memory.lease().take(LARGE)
    assert memory.lease().take(LARGE - 1)


def test_before_a_body_is_refused_freed_pages_are_handed_back_now_and_then() -> None:
    process = Process(100 * MIB, used=90 * MIB, back=50 * MIB)
    memory, clock = counted(process)
    assert memory.lease().take(20 * MIB)
    assert process.helped == 1
    assert not memory.lease().take(20 * MIB)
    assert process.helped == 1
    clock.advance(GIVE_BACK_S)
    assert not memory.lease().take(20 * MIB)
    assert process.helped == 2


async def test_who_finds_no_room_waits_its_turn() -> None:
    memory, _ = counted(Process(100 * MIB))
    first, second, third, modest = (memory.lease() for _ in range(4))
    assert first.take(30 * MIB)
    waiting = [asyncio.create_task(second.wait(30 * MIB)), asyncio.create_task(third.wait(2 * MIB))]
    await turn()
    assert memory.crowded()
    assert not memory.lease().take(2 * MIB)  # nobody overtakes
    assert modest.take(MODEST)  # but the smallest
    first.settle(30 * MIB)
    await turn()
    assert not any(task.done() for task in waiting)
    first.settle(0)
    await asyncio.gather(*waiting)
    assert (memory.held, memory.crowded()) == (COPIES * (30 + 2 + 1) * MIB, False)


async def test_waiting_ends_in_an_error_that_says_so() -> None:
    memory, _ = counted(Process(100 * MIB), wait_s=0.01)
    assert memory.lease().take(30 * MIB)
    with pytest.raises(UpstreamError) as caught, memory.lease() as lease:
        await lease.wait(20 * MIB)
    error = caught.value
    assert (error.kind, error.code, error.delivered, error.retryable) == (
        ErrorKind.UNAVAILABLE,
        "memory_short",
        True,
        False,
    )
    assert (memory.held, memory.crowded()) == (COPIES * 30 * MIB, False)


async def test_what_can_never_fit_is_refused_at_once() -> None:
    memory, _ = counted(Process(100 * MIB), wait_s=60)
    held, lease = memory.lease(), memory.lease()
    assert held.take(10 * MIB)
    assert not lease.take(40 * MIB)
    with pytest.raises(UpstreamError):
        await asyncio.wait_for(lease.wait(40 * MIB), 5)


async def test_of_bodies_that_wait_for_each_other_one_gives_up() -> None:
    memory, _ = counted(Process(100 * MIB), wait_s=60)
    first, second = memory.lease(), memory.lease()
    assert first.take(15 * MIB)
    assert second.take(15 * MIB)

    async def grow(lease: Lease) -> bool:
        with lease:
            try:
                await lease.wait(30 * MIB)
            except UpstreamError:
                return False
            return True

    done = await asyncio.wait_for(asyncio.gather(grow(first), grow(second)), 5)
    assert sorted(done) == [False, True]
    assert memory.held == 0


async def test_memory_that_others_free_is_noticed() -> None:
    process = Process(100 * MIB, used=30 * MIB)
    memory, clock = counted(process, wait_s=30)
    assert memory.lease().take(10 * MIB)
    waiting = asyncio.create_task(memory.lease().wait(20 * MIB))
    await turn()
    process.used = 0
    clock.advance(LOOK_S)
    await asyncio.wait_for(waiting, 5)


async def test_a_call_that_is_cancelled_while_it_waits_leaves_nothing_behind() -> None:
    memory, _ = counted(Process(100 * MIB))
    first, second, third = memory.lease(), memory.lease(), memory.lease()
    assert first.take(30 * MIB)
    waiting = asyncio.create_task(second.wait(30 * MIB))
    behind = asyncio.create_task(third.wait(2 * MIB))
    await turn()
    waiting.cancel()
    await asyncio.wait_for(behind, 5)
    assert memory.held == COPIES * 32 * MIB
    assert not memory.crowded()


# --- reading ------------------------------------------------------------------------------------------------------------


class Reply:
    """An answer in pieces. ``taken``: how many were read."""

    status = 200

    def __init__(self, *pieces: bytes, headers: Mapping[str, str] | None = None, breaks: bool = False) -> None:
        self.headers = headers or {}
        self.pieces = pieces
        self.taken = 0
        self.breaks = breaks

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        for piece in self.pieces:
            self.taken += 1
            yield piece
        if self.breaks:
            raise too_slow("further data", 1)


async def test_an_announced_answer_is_read_once_there_is_room_for_all_of_it() -> None:
    memory, _ = counted(Process(100 * MIB))
    other = memory.lease()
    assert other.take(20 * MIB)
    reply = Reply(bytes(MIB), headers={"content-length": str(20 * MIB)})
    reading = asyncio.create_task(read_whole(reply, memory.lease()))
    await turn()
    assert reply.taken == 0
    other.settle(0)
    assert len((await asyncio.wait_for(reading, 5)).body) == MIB


async def test_an_answer_of_unknown_size_is_counted_as_it_grows() -> None:
    memory, _ = counted(Process(100 * MIB), wait_s=0.01)
    lease = memory.lease()
    pieces = [bytes([number]) * 100_000 for number in range(10)]
    whole = await read_whole(Reply(*pieces), lease)
    assert whole.body == b"".join(pieces)
    assert COPIES * MIB * 0.9 < memory.held <= COPIES * 2 * MIB
    assert lease.come == len(whole.body)
    endless = Reply(*[bytes(MIB)] * 60)
    with pytest.raises(UpstreamError) as caught, memory.lease() as second:
        await read_whole(endless, second)
    assert caught.value.code == "memory_short"
    assert 8 < endless.taken < 34


async def test_an_answer_is_never_larger_than_the_cap() -> None:
    reply = Reply(bytes(MIB), headers={"content-length": str(MAX_UPSTREAM_BODY + 1)})
    with pytest.raises(UpstreamError) as caught:
        await read_whole(reply)
    assert (caught.value.code, reply.taken) == ("upstream_too_large", 0)
    whole = await read_whole(Reply(*[bytes(MIB)] * 64), BodyMemory().lease())
    assert len(whole.body) == MAX_UPSTREAM_BODY
    with pytest.raises(UpstreamError) as caught:
        await read_whole(Reply(*[bytes(MIB)] * 64, b"x"), BodyMemory().lease())
    assert caught.value.code == "upstream_too_large"


async def test_an_upstream_that_was_made_to_wait_is_not_blamed_for_giving_up() -> None:
    memory, _ = counted(Process(100 * MIB))
    other = memory.lease()
    assert other.take(20 * MIB)
    reply = Reply(bytes(MIB), headers={"content-length": str(20 * MIB)}, breaks=True)
    reading = asyncio.create_task(read_whole(reply, memory.lease()))
    await turn()
    other.settle(0)
    with pytest.raises(UpstreamError) as caught:
        await asyncio.wait_for(reading, 5)
    assert caught.value.code == "memory_short"
    with pytest.raises(UpstreamError) as caught:
        await read_whole(Reply(bytes(MIB), breaks=True), memory.lease())
    assert caught.value.code == "upstream_timeout"

"""What the machine allows, and what is refused beyond it."""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from relayhub.testing import FakeClock
from relayhub.upstream.memory import GIVE_BACK_S, LARGE, BodyMemory, Left
from relayhub.web.allocator import Allocator
from relayhub.web.machine import FULL, Machine
from relayhub.web.overload import HEALTH_ROOM, KEPT_DESCRIPTORS, LOOK_S, Overload


class Small(Machine):
    """A machine of the test's own making."""

    __slots__ = ("files", "helps", "share", "size")

    def __init__(self, size: int = 1 << 30, share: float = 0.1, files: int = 1024, helps: bool = False) -> None:
        object.__setattr__(self, "helps", helps)
        object.__setattr__(self, "size", size)
        object.__setattr__(self, "share", share)
        object.__setattr__(self, "files", files)

    def memory(self) -> int:
        return int(self.size)

    def memory_share(self) -> float:
        return float(self.share)

    def give_back(self) -> None:
        if self.helps:
            object.__setattr__(self, "share", 0.5)

    def descriptors(self) -> int:
        return int(self.files)


def kernel(folder: Path, groups: str, **limits: str) -> Machine:
    """``limits``: by path below the control groups, ``__`` for a slash and ``-`` for a dot."""
    proc, cgroups = folder / "proc", folder / "cgroup"
    proc.mkdir()
    (proc / "cgroup").write_text(groups)
    (proc / "statm").write_text("5000 1000 1 1 0 1 0\n")
    for name, limit in limits.items():
        file = cgroups / name.replace("__", "/").replace("DOT", ".")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(limit + "\n")
    return Machine(cgroups, proc)


def test_the_tightest_control_group_binds(tmp_path: Path) -> None:
    machine = kernel(tmp_path, "0::/pod/me\n", pod__memoryDOTmax="104857600", pod__me__memoryDOTmax="max")
    assert machine.memory() == 104857600
    assert 0.03 < machine.memory_share() < 0.05


def test_other_limits_and_another_group_count_from_the_next_look_on(tmp_path: Path) -> None:
    machine = kernel(tmp_path, "0::/pod/me\n", pod__memoryDOTmax="104857600", pod__you__memoryDOTmax="52428800")
    assert machine.memory() == 104857600
    (tmp_path / "cgroup" / "pod" / "memory.max").write_text("94371840\n")
    assert machine.memory() == 94371840
    (tmp_path / "proc" / "cgroup").write_text("0::/pod/you\n")
    assert machine.memory() == 52428800


def test_older_control_groups_are_read_too(tmp_path: Path) -> None:
    groups = "5:cpu,cpuacct:/x\n4:memory:/docker/abc\n0::/\n"
    machine = kernel(tmp_path, groups, memory__docker__abc__memoryDOTlimit_in_bytes="52428800")
    assert machine.memory() == 52428800


def test_without_a_limit_it_is_the_machines_memory(tmp_path: Path) -> None:
    unlimited = kernel(tmp_path, "4:memory:/\n", memory__memoryDOTlimit_in_bytes=str(0x7FFFFFFFFFFFF000))
    assert unlimited.memory() == Machine(tmp_path / "none", tmp_path / "none").memory() > 1 << 28
    assert Machine(tmp_path, tmp_path / "none").memory_share() == 0.0


def test_what_the_kernel_tells_is_read_to_its_end_and_what_cannot_be_read_is_no_limit(tmp_path: Path) -> None:
    groups = "".join(f"{number}:cpu:/{'x' * 4000}\n" for number in range(2, 20)) + "0::/me\n"
    machine = kernel(tmp_path, groups, me__memoryDOTmax="104857600")
    (tmp_path / "cgroup" / "memory.max").mkdir()
    assert machine.memory() == 104857600


def test_limits_follow_the_machine_unless_the_operator_says_them() -> None:
    small = Overload(FakeClock(), machine=Small(size=100 << 20, files=1024))
    assert (small.max_clients(), small.max_in_flight()) == ((1024 - KEPT_DESCRIPTORS) // 2, 100)
    few = Overload(FakeClock(), machine=Small(files=128))
    assert (few.max_clients(), few.max_in_flight()) == (32, 32)
    own = Overload(FakeClock(), 7, 9, Small())
    assert (own.max_in_flight(), own.max_clients()) == (7, 9)


def test_more_requests_than_it_may_have_are_refused() -> None:
    overload = Overload(FakeClock(), max_in_flight=2, machine=Small())
    overload.in_flight = 1
    assert overload.reason() is None
    overload.in_flight = 2
    assert overload.reason() == "as many requests as it may are under way"


def test_beyond_its_clients_there_is_room_for_health_checks_only_and_then_for_nobody() -> None:
    overload = Overload(FakeClock(), max_clients=3, machine=Small())
    assert all(overload.enter() for _ in range(3))
    assert overload.reason() is None
    assert all(overload.enter() for _ in range(HEALTH_ROOM))
    assert overload.reason() == "as many clients as it may are connected"
    assert not overload.enter()
    for _ in range(HEALTH_ROOM):
        overload.leave()
    assert overload.reason() is None
    assert overload.enter()


def test_nothing_is_begun_while_memory_is_short() -> None:
    clock, machine = FakeClock(), Small(share=0.95)
    overload = Overload(clock, machine=machine)
    assert overload.reason() == "memory is short"
    object.__setattr__(machine, "share", 0.5)
    assert overload.reason() == "memory is short"
    clock.advance(LOOK_S)
    assert overload.reason() is None


def test_before_calls_are_refused_freed_pages_are_handed_back() -> None:
    clock, machine = FakeClock(), Small(share=0.95, helps=True)
    overload = Overload(clock, machine=machine)
    assert overload.reason() is None
    object.__setattr__(machine, "share", 0.95)
    clock.advance(LOOK_S)
    assert overload.reason() == "memory is short"  # it takes time, and has only just been done
    clock.advance(GIVE_BACK_S)
    assert overload.reason() is None


async def test_nothing_is_begun_while_answers_wait_for_memory() -> None:
    memory = BodyMemory(FakeClock(), Room(100 << 20))
    overload = Overload(FakeClock(), machine=Small(), memory=memory)
    with memory.lease() as first, memory.lease() as second:
        assert first.take(20 << 20)
        assert overload.reason() is None
        waiting = asyncio.create_task(second.wait(20 << 20))
        await asyncio.sleep(0)
        assert overload.reason() == "memory is short"
        waiting.cancel()
        await asyncio.wait((waiting,))
    assert overload.reason() is None


async def test_nothing_is_begun_that_would_take_what_is_kept_for_answers_under_way() -> None:
    memory = BodyMemory(FakeClock(), Room(100 << 20, kept=50 << 20))
    overload = Overload(FakeClock(), machine=Small(), memory=memory)
    with memory.lease() as lease:
        assert lease.take(16 << 20)
        assert overload.reason() is None
        assert lease.take(17 << 20)
        assert overload.reason() == "memory is short"
    assert overload.reason() is None


@dataclass
class Room:
    """A process that may take so many bytes more, and keeps some of them for what is under way."""

    left: int
    kept: int = 0

    def memory_left(self) -> Left:
        return Left(self.left, self.left, self.kept)

    def give_back(self) -> None:
        return


def limited(folder: Path, space: int, kept: int, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A process of 5 000 pages of address space, of which it may have ``space`` bytes, and frees ``kept``."""
    machine = replace(kernel(folder, "0::/\n"), allocator=Allocator(lambda: kept, lambda: None, lambda: None))
    monkeypatch.setattr(resource, "getrlimit", lambda _what: (space, space))
    return machine


def test_what_the_allocator_keeps_is_room_in_a_limited_address_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = resource.getpagesize()
    machine = limited(tmp_path, 5200 * page, 2500 * page, monkeypatch)
    assert machine.memory_share() == pytest.approx(2500 / 5200)
    left = machine.memory_left()
    assert left.of(LARGE) == left.large == int(FULL * 5200 * page) - 5000 * page < 0
    assert left.of(LARGE - 1) == left.small == left.large + 2500 * page


def test_the_allocator_is_asked_only_where_address_space_is_scarce(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = resource.getpagesize()
    machine = limited(tmp_path, 20_000 * page, 4000 * page, monkeypatch)
    assert machine.memory_share() == pytest.approx(5000 / 20_000)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
def test_large_blocks_are_given_back_when_they_are_freed() -> None:
    """In a process of its own, as it is for good."""
    script = """
from pathlib import Path
from relayhub.upstream.memory import LARGE
from relayhub.web.allocator import process_allocator

def mapped():
    return int(Path("/proc/self/statm").read_text().split()[0]) * 4096

allocator = process_allocator()
allocator.sort_out()
blocks, pins = [], []
for _ in range(20):
    blocks.append(bytes(LARGE))
    pins += [bytes(1000) for _ in range(20)]
before = mapped()
blocks.clear()
print((before - mapped()) // LARGE)
small = []
for _ in range(20):
    small.append(bytes(LARGE // 4))
    pins += [bytes(1000) for _ in range(20)]
before = allocator.free()
small.clear()
print((allocator.free() - before) // (LARGE // 4))
allocator.give_back()
"""
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=60)
    given, kept = map(int, done.stdout.split())
    assert given == 20
    assert kept in (0, *range(19, 22))  # none with another C library

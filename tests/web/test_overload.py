"""What the machine allows, and what is refused beyond it."""

from __future__ import annotations

from pathlib import Path

from relayhub.testing import FakeClock
from relayhub.web.machine import Machine
from relayhub.web.overload import HEALTH_ROOM, KEPT_DESCRIPTORS, LOOK_S, Overload


class Small(Machine):
    """A machine of the test's own making."""

    __slots__ = ("files", "share", "size")

    def __init__(self, size: int = 1 << 30, share: float = 0.1, files: int = 1024) -> None:
        object.__setattr__(self, "size", size)
        object.__setattr__(self, "share", share)
        object.__setattr__(self, "files", files)

    def memory(self) -> int:
        return int(self.size)

    def memory_share(self) -> float:
        return float(self.share)

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


def test_older_control_groups_are_read_too(tmp_path: Path) -> None:
    groups = "5:cpu,cpuacct:/x\n4:memory:/docker/abc\n0::/\n"
    machine = kernel(tmp_path, groups, memory__docker__abc__memoryDOTlimit_in_bytes="52428800")
    assert machine.memory() == 52428800


def test_without_a_limit_it_is_the_machines_memory(tmp_path: Path) -> None:
    unlimited = kernel(tmp_path, "4:memory:/\n", memory__memoryDOTlimit_in_bytes=str(0x7FFFFFFFFFFFF000))
    assert unlimited.memory() == Machine(tmp_path / "none", tmp_path / "none").memory() > 1 << 28
    assert Machine(tmp_path, tmp_path / "none").memory_share() == 0.0


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

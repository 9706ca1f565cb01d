"""Processes that are measured: on which processor they run, what they use, and how they end. Linux only."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

PROC = Path("/proc")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
STOP_S = 10.0
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Cpus:
    """``gateway``: for what is measured; ``load``: for load and mock upstream. ``None``: there is only one; not pinned."""

    gateway: int | None
    load: int | None

    @classmethod
    def choose(cls, gateway: int | None = None, load: int | None = None) -> Cpus:
        """The first and the last one that this process may use, or the ones that were asked for."""
        usable = sorted(os.sched_getaffinity(0))
        if len(usable) < 2:
            return cls(None, None)
        return cls(usable[0] if gateway is None else gateway, usable[-1] if load is None else load)


def start(
    command: Sequence[str],
    cpu: int | None,
    *,
    env: Mapping[str, str] | None = None,
    folder: Path | None = None,
    stdout: int | IO[str] = subprocess.DEVNULL,
    stderr: int | IO[str] | None = None,
) -> subprocess.Popen[str]:
    """A process group of its own, on that processor."""

    def pin() -> None:
        if cpu is not None:
            os.sched_setaffinity(0, {cpu})

    whole = None if env is None else {**os.environ, **env}
    return subprocess.Popen(
        command, cwd=folder, env=whole, stdout=stdout, stderr=stderr, text=True, start_new_session=True, preexec_fn=pin
    )


def stop(process: subprocess.Popen[str]) -> None:
    """SIGTERM to its group, SIGKILL if that is not enough."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            break
        os.killpg(process.pid, number)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            continue
    if process.stdout is not None:
        process.stdout.close()


@contextmanager
def running(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    try:
        yield process
    finally:
        stop(process)


def tree(root: int) -> list[int]:
    """The process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))) is not None:
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children.get(pid, [])
    return found


def cpu_s(root: int) -> float:
    """Seconds of processor time, user and system, that the tree has had, with what it has waited for."""
    return sum(_own_cpu_s(pid) + _reaped_cpu_s(pid) for pid in tree(root))


def _own_cpu_s(pid: int) -> float:
    """By the process's own clock, which is exact; what /proc says is rounded to 10 ms."""
    process_clock = (~pid << 3) | 2
    try:
        return time.clock_gettime(process_clock)
    except OSError:
        return 0.0


def _reaped_cpu_s(pid: int) -> float:
    fields = _stat(pid)
    return (int(fields[13]) + int(fields[14])) / TICKS_PER_S if fields is not None else 0.0


def _stat(pid: int) -> list[str] | None:
    """From the state on; ``None``: it is gone."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def memory_mib(root: int) -> float:
    """Proportional set size of the tree: pages that several processes share are shared out among them."""
    return sum(_pss_bytes(pid) for pid in tree(root)) / MIB


def _pss_bytes(pid: int) -> int:
    try:
        rollup = (PROC / str(pid) / "smaps_rollup").read_text()
    except OSError:
        return 0
    found = re.search(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0

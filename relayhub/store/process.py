"""Who this process is, and whether another one is still alive."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

_STARTED_FIELD = 19
"""Of ``/proc/<pid>/stat`` after the closing parenthesis of the name: the start time in clock ticks since boot."""


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process, unmistakably. ``host`` includes the pid namespace: pids of another container mean nothing here.
    ``boot_id`` and ``started`` are empty where the system does not tell."""

    host: str
    boot_id: str
    pid: int
    started: str

    @classmethod
    def current(cls) -> ProcessIdentity:
        return cls(_host(), _read(Path("/proc/sys/kernel/random/boot_id")), os.getpid(), started(os.getpid()) or "")

    def sees_dead(self, other: ProcessIdentity) -> bool | None:
        """Whether ``other`` has certainly ended; ``None`` if it cannot be told from here."""
        if self.host != other.host:
            return None
        if self.boot_id != other.boot_id:
            return True
        return started(other.pid) != other.started


def started(pid: int) -> str | None:
    """When ``pid`` began (an opaque text, empty if the system does not tell); ``None``: there is no such process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass  # it exists, and belongs to somebody else
    stat = _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    if stat and stat[0] in "ZX":
        return None  # killed, and not yet reaped: it will write nothing more
    return stat[_STARTED_FIELD] if len(stat) > _STARTED_FIELD else ""


def _host() -> str:
    try:
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        namespace = ""
    return f"{socket.gethostname()} {namespace}".rstrip()


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""

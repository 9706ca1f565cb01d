"""What a process holds."""

from __future__ import annotations

from pathlib import Path

MIB = 1 << 20


def resident_bytes(pid: int) -> int:
    """Its resident memory now."""
    return int(_status(pid, "VmRSS")) * 1024


def peak_bytes(pid: int) -> int:
    """The most it ever had since :func:`forget_peak`."""
    return int(_status(pid, "VmHWM")) * 1024


def space_bytes(pid: int) -> int:
    """Its address space now, used or not."""
    return int(_status(pid, "VmSize")) * 1024


def forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def cpu_s(pid: int) -> float:
    """Seconds of processor time it has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def _status(pid: int, name: str) -> str:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith(f"{name}:"))

"""Where a run took place."""

from __future__ import annotations

import os
import platform
import re
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median

from tests.bench.processes import Cpus

FSYNCS = 100
PAGE = b"\0" * 4096


@dataclass(frozen=True, slots=True)
class Machine:
    """``fsync_ms``: a 4 KB write and its fdatasync in the folder of the measured hub's database, p50 and p99."""

    when: str
    processor: str
    processors: int
    cpus: Cpus
    load_average: float
    python: str
    aiohttp: str
    uvloop: str
    fsync_p50_ms: float
    fsync_p99_ms: float

    def lines(self) -> list[str]:
        pinned = f"gateway on processor {self.cpus.gateway}, load and mock upstream on processor {self.cpus.load}"
        if self.cpus.gateway is None:
            pinned = "only one processor: gateway and load share it, so delays say nothing"
        return [
            f"{self.when}; {self.processors} × {self.processor}; {pinned}; load average {self.load_average:.2f} before",
            f"Python {self.python}, aiohttp {self.aiohttp}, uvloop {self.uvloop}; plain HTTP on both sides",
            f"the disk of the hub's database: fdatasync p50 {self.fsync_p50_ms:.2f} ms, p99 {self.fsync_p99_ms:.2f} ms",
        ]


def look(folder: Path, cpus: Cpus) -> Machine:
    p50, p99 = fsync_ms(folder)
    return Machine(
        when=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        processor=processor(),
        processors=os.cpu_count() or 1,
        cpus=cpus,
        load_average=round(os.getloadavg()[0], 2),
        python=platform.python_version(),
        aiohttp=version("aiohttp"),
        uvloop=version("uvloop"),
        fsync_p50_ms=p50,
        fsync_p99_ms=p99,
    )


def processor() -> str:
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def fsync_ms(folder: Path) -> tuple[float, float]:
    """p50 and p99."""
    found = []
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        for _ in range(FSYNCS):
            began = time.perf_counter()
            file.write(PAGE)
            os.fdatasync(file.fileno())
            found.append((time.perf_counter() - began) * 1000)
    return round(median(found), 3), round(sorted(found)[int(FSYNCS * 0.99)], 3)

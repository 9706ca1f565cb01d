"""The short form: what a request costs relayhub, in requests of the bare aiohttp proxy. A ratio, since both run on the same
machine in the same seconds; an absolute time would say more about the machine than about the code."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.bench.gateways import Gateway, bare_aiohttp, relayhub_process
from tests.bench.load import Task
from tests.bench.processes import Cpus, cpu_s, running
from tests.bench.rounds import drive, mock_upstream, start_gateway

SLICES = 7
SLICE_CALLS = 600
WARM_CALLS = 1500
CONNECTIONS = 32


@dataclass(frozen=True, slots=True)
class Short:
    """``ratios``: CPU per request of relayhub ÷ of the proxy, slice by slice; ``errors`` of both."""

    ratios: Sequence[float]
    errors: int

    @property
    def ratio(self) -> float:
        return median(self.ratios)


def run_short(folder: Path) -> Short:
    """Both gateways run all the time and answer some hundred calls in turn, 32 connections with 1 KB each. The hub does not
    wait for the disk here: how long that takes changes what a commit carries, and with it the CPU per request."""
    cpus = Cpus.choose()
    with ExitStack() as stack:
        upstream_port = stack.enter_context(mock_upstream(cpus))
        hub, bare = (make(_made(folder / make.__name__), upstream_port) for make in (relayhub_process, bare_aiohttp))
        hub_pid, bare_pid = (stack.enter_context(running(start_gateway(one, cpus)[0])).pid for one in (hub, bare))
        errors = 0
        ratios = []
        for number in range(SLICES + 1):
            hub_us, hub_errors = _slice(hub, hub_pid, cpus, warm=number == 0)
            bare_us, bare_errors = _slice(bare, bare_pid, cpus, warm=number == 0)
            errors += hub_errors + bare_errors
            ratios.append(hub_us / bare_us)
        return Short(ratios[1:], errors)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _slice(gateway: Gateway, pid: int, cpus: Cpus, *, warm: bool) -> tuple[float, int]:
    """CPU per request in µs, and errors."""
    calls = WARM_CALLS if warm else SLICE_CALLS
    task = Task(gateway.port, connections=CONNECTIONS, calls=calls, key=gateway.key)
    before = cpu_s(pid)
    figures = drive(task, cpus)
    return (cpu_s(pid) - before) / max(figures.done, 1) * 1e6, figures.errors

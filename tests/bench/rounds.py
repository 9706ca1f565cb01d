"""Runs gateways and load: one gateway at a time, all of them in each round, so that what changes on the machine meets all."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.bench.gateways import ROOT, Gateway
from tests.bench.load import Figures, Task
from tests.bench.phases import Measured, Phase, Round, task_of
from tests.bench.processes import Cpus, cpu_s, memory_mib, running, start, stop
from tests.bench.wire import OPENAI_PATH, plain_body

MEMORY_EVERY_S = 1.0
"""Looking at a process's memory map stops it for a moment, so it is not done more often."""
STARTS = 3
DIRECT_DELAY_P99_US = 8_000
"""The load must see its own mock this promptly; a gateway is given 10 ms for the same."""
FEWEST_STREAMS = 125


LOG_CHARACTERS = 2000


class NotServingError(Exception):
    """A gateway does not answer a simple call; the text has the end of its log."""


@dataclass(frozen=True, slots=True)
class Plan:
    """``most_streams``: see :func:`calibrate`."""

    cpus: Cpus
    phases: Sequence[Phase]
    quick: bool = False
    most_streams: int = 1000

    def fits(self, phase: Phase, gateway: Gateway) -> bool:
        task = task_of(phase, 0, "", quick=self.quick, most_streams=self.most_streams)
        if phase not in gateway.only:
            return False
        return task.streams <= gateway.most_streams and (gateway.translates or not task.anthropic)


@contextmanager
def mock_upstream(cpus: Cpus) -> Iterator[int]:
    """The mock's port."""
    with running(
        start((sys.executable, "-m", "tests.bench.mock"), cpus.load, folder=ROOT, stdout=subprocess.PIPE)
    ) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())


def drive(task: Task, cpus: Cpus, while_running: Callable[[], None] | None = None) -> Figures:
    """Run the load to its end. ``while_running``: called about once a second."""
    command = (sys.executable, "-m", "tests.bench.load", json.dumps(asdict(task)))
    with running(start(command, cpus.load, folder=ROOT, stdout=subprocess.PIPE)) as process:
        while while_running is not None:
            try:
                process.wait(MEMORY_EVERY_S)
            except subprocess.TimeoutExpired:
                while_running()
            else:
                break
        said = process.communicate()[0]
    if process.returncode != 0:
        raise RuntimeError(f"the load generator ended with exit code {process.returncode}; its error is above")
    return Figures.from_json(said)


def calibrate(plan: Plan, upstream_port: int) -> int:
    """How many paced streams load and mock can take on their processor without delays of their own: 1 000, or half as many
    as often as it takes. Each number has two tries, since a machine may be busy for a moment."""
    streams = plan.most_streams
    while streams > FEWEST_STREAMS:
        if any(_keeps_pace(plan, upstream_port, streams) for _ in range(2)):
            break
        streams //= 2
    return streams


def _keeps_pace(plan: Plan, upstream_port: int, streams: int) -> bool:
    task = task_of(Phase.PACED_1000, upstream_port, "", quick=plan.quick, most_streams=streams)
    figures = drive(task, plan.cpus)
    return figures.errors == 0 and figures.delay is not None and figures.delay.p99_us <= DIRECT_DELAY_P99_US


def direct(plan: Plan, upstream_port: int) -> Round:
    """Load and mock without a gateway between them: what the gateways' delays contain that is not theirs."""
    found = {}
    for phase in (Phase.WARM, *plan.phases):
        task = task_of(phase, upstream_port, "", quick=plan.quick, most_streams=plan.most_streams)
        if not task.anthropic:
            found[phase] = Measured(drive(task, plan.cpus))
    return Round(found, 0.0, 0.0)


def measure(gateway: Gateway, plan: Plan) -> Round:
    """Start it, put it through its phases, stop it. Raises :class:`NotServingError`."""
    process, first_answer_s = start_gateway(gateway, plan.cpus)
    try:
        idle_mib = memory_mib(process.pid)
        settled_before = gateway.settled() if gateway.settled else 0
        found = {
            phase: measure_phase(gateway, process.pid, phase, plan)
            for phase in (Phase.WARM, *plan.phases)
            if plan.fits(phase, gateway)
        }
        done = sum(measured.figures.done for measured in found.values())
        settled = (gateway.settled() - settled_before) / done if gateway.settled else None
        return Round(found, first_answer_s, idle_mib, settled)
    finally:
        stop(process)


def measure_phase(gateway: Gateway, pid: int, phase: Phase, plan: Plan) -> Measured:
    task = task_of(phase, gateway.port, gateway.key, quick=plan.quick, most_streams=plan.most_streams)
    peaks = [0.0]
    before = cpu_s(pid)
    figures = drive(task, plan.cpus, (lambda: peaks.append(memory_mib(pid))) if task.streams else None)
    return Measured(figures, cpu_s(pid) - before, max(peaks))


def start_gateway(gateway: Gateway, cpus: Cpus) -> tuple[subprocess.Popen[str], float]:
    """The process, and the seconds from its start to its first answer of 200 to a real call."""
    with (gateway.folder / f"{gateway.name}.log").open("a") as log:
        began = time.monotonic()
        process = start(gateway.command, cpus.gateway, env=gateway.env, folder=gateway.folder, stdout=log, stderr=log)
    while time.monotonic() < began + gateway.starts_within_s and process.poll() is None:
        if answers(gateway):
            return process, time.monotonic() - began
        time.sleep(0.005)
    stop(process)
    raise NotServingError(f"{gateway.name} did not start:\n{Path(log.name).read_text()[-LOG_CHARACTERS:]}")


def answers(gateway: Gateway) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=10)
    headers = {"authorization": f"Bearer {gateway.key}", "content-type": "application/json"}
    try:
        connection.request("POST", OPENAI_PATH, plain_body(1), headers)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def start_times(gateway: Gateway, cpus: Cpus) -> list[float]:
    """Of some starts on a database that exists."""
    found = []
    for _ in range(STARTS):
        process, first_answer_s = start_gateway(gateway, cpus)
        stop(process)
        found.append(first_answer_s)
    return found


def command_times(command: Sequence[str], cpus: Cpus, env: Mapping[str, str]) -> list[float]:
    """How long the program takes from its start to its end."""
    found = []
    for _ in range(2 * STARTS - 1):
        began = time.monotonic()
        with running(start(command, cpus.gateway, env=env)) as process:
            process.wait(30)
        found.append(time.monotonic() - began)
    return found

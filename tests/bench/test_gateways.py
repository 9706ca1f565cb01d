"""Each gateway that this machine has serves a short form of every kind of phase, and relayhub's books have every call."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench import rounds
from tests.bench.gateways import GATEWAYS, LITELLM_VENV, NotInstalledError, bare_aiohttp, litellm
from tests.bench.load import Task
from tests.bench.phases import TASKS, Phase
from tests.bench.processes import Cpus
from tests.bench.rounds import NotServingError, Plan, direct, measure, start_gateway

SMALL = {
    phase: replace(task, seconds=min(task.seconds, 0.2), streams=min(task.streams, 3), chunks=4, ramp_s=0.1)
    for phase, task in TASKS.items()
}
PHASES = (Phase.BUSY, Phase.IMAGE, Phase.PACED_20, Phase.TRANSLATED_200)


@pytest.fixture(autouse=True)
def small_phases(monkeypatch: pytest.MonkeyPatch) -> None:
    def small(phase: Phase, port: int, key: str, *, quick: bool, most_streams: int) -> Task:
        return replace(SMALL[phase], port=port, key=key)

    monkeypatch.setattr(rounds, "task_of", small)


@pytest.fixture
def plan(cpus: Cpus) -> Plan:
    return Plan(cpus, PHASES)


@pytest.mark.parametrize("name", [name for name in GATEWAYS if name != "litellm"])
def test_it_serves_every_phase_that_it_can(name: str, plan: Plan, upstream_port: int, tmp_path: Path) -> None:
    try:
        gateway = GATEWAYS[name](tmp_path, upstream_port)
    except NotInstalledError as error:
        pytest.skip(str(error))
    ran = measure(gateway, plan)
    expected = {Phase.WARM, *(phase for phase in PHASES if plan.fits(phase, gateway))}
    assert set(ran.phases) == expected
    assert (Phase.TRANSLATED_200 in expected) == (name == "relayhub")
    assert {phase: found.figures.first_error for phase, found in ran.phases.items() if not found.counts} == {}
    assert all(found.cpu_s > 0 for found in ran.phases.values())
    assert ran.idle_mib > 1
    assert ran.settled == (1.0 if name.startswith("relayhub") else None)


def test_without_a_gateway_nothing_is_translated(plan: Plan, upstream_port: int) -> None:
    assert set(direct(plan, upstream_port).phases) == {Phase.WARM, Phase.BUSY, Phase.IMAGE, Phase.PACED_20}


def test_a_gateway_that_does_not_start_is_told_with_its_log(cpus: Cpus, upstream_port: int, tmp_path: Path) -> None:
    broken = (sys.executable, "-c", "raise SystemExit('the port is taken')")
    gateway = replace(bare_aiohttp(tmp_path, upstream_port), command=broken)
    with pytest.raises(NotServingError, match=r"(?s)aiohttp did not start.*the port is taken"):
        start_gateway(gateway, cpus)


def test_what_is_not_installed_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, upstream_port: int, tmp_path: Path
) -> None:
    monkeypatch.setenv(LITELLM_VENV, str(tmp_path))
    with pytest.raises(NotInstalledError, match="pip install"):
        litellm(tmp_path, upstream_port)

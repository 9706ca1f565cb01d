"""``scripts/bench``: runs all of it and prints how relayhub compares."""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from tests.bench import machine
from tests.bench.gateways import GATEWAYS, Gateway, NotInstalledError, relayhub_program, run_relayhub
from tests.bench.phases import Phase, Round
from tests.bench.processes import Cpus
from tests.bench.promises import HUB, Verdict, promises
from tests.bench.report import Report
from tests.bench.results import DIRECT, Results
from tests.bench.rounds import (
    NotServingError,
    Plan,
    calibrate,
    command_times,
    direct,
    measure,
    mock_upstream,
    start_times,
)
from tests.bench.short import run_short

PHASES = [phase for phase in Phase if phase is not Phase.WARM]


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--rounds", type=int, help="how many times in turn; default: 3, quick: 2")
    parser.add_argument("--quick", action="store_true", help="phases of half the length: under five minutes")
    parser.add_argument("--phases", default=",".join(PHASES), metavar="LIST", help="of: %(default)s")
    parser.add_argument("--gateways", default=",".join(GATEWAYS), metavar="LIST", help="of: %(default)s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    parser.add_argument("--markdown", action="store_true", help="print the tables as Markdown")
    parser.add_argument("--folder", type=Path, help="where the gateways' files go; default: a temporary folder")
    parser.add_argument("--gateway-cpu", type=int, help="the processor of what is measured; default: the first")
    parser.add_argument("--load-cpu", type=int, help="the processor of load and mock; default: the last")
    parser.add_argument("--short", type=int, metavar="TIMES", help="only the ratio that CI guards, so many times")
    parser.add_argument("--strict", action="store_true", help="exit code 1 unless every promise is kept")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Exit code 0, or 1: something failed under load, or with ``--strict`` a promise is not kept."""
    asked = parse(arguments)
    allow_many_files()
    if asked.short:
        return repeat_short(asked.short, asked.folder)
    with tempfile.TemporaryDirectory(dir=asked.folder, prefix="relayhub-bench-") as folder:
        report = run(asked, Path(folder))
    if asked.json is not None:
        asked.json.write_text(report.json())
    sys.stdout.write(report.markdown() if asked.markdown else report.text())
    kept = all(promise.verdict in (Verdict.GOAL, Verdict.MUST) for promise in promises(report.results))
    return int(bool(report.results.errors()) or (asked.strict and not kept))


def repeat_short(times: int, folder: Path | None) -> int:
    """The ratio that tests/bench/test_regression.py guards, as often as it takes to see how much it varies."""
    for _ in range(times):
        with tempfile.TemporaryDirectory(dir=folder, prefix="relayhub-bench-") as own:
            short = run_short(Path(own))
        slices = " ".join(f"{ratio:.2f}" for ratio in sorted(short.ratios))
        sys.stdout.write(f"relayhub ÷ bare aiohttp: {short.ratio:.2f}   slices: {slices}   errors: {short.errors}\n")
        sys.stdout.flush()
    return 0


def allow_many_files() -> None:
    """1 000 streams are 2 000 connections for a gateway."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def run(asked: argparse.Namespace, folder: Path) -> Report:
    cpus = Cpus.choose(asked.gateway_cpu, asked.load_cpu)
    where = machine.look(folder, cpus)
    plan = Plan(cpus, [Phase(name) for name in asked.phases.split(",")], asked.quick)
    with mock_upstream(cpus) as upstream_port:
        if Phase.PACED_1000 in plan.phases:
            plan = replace(plan, most_streams=calibrate(plan, upstream_port))
        gateways, missing = prepare(asked.gateways.split(","), folder, upstream_port)
        about = [*(gateway.about for gateway in gateways), *missing]
        say(*about)
        failures: list[str] = []
        rounds = [
            dict(one_round(gateways, plan, upstream_port, number, failures))
            for number in range(1, 1 + (asked.rounds or (2 if asked.quick else 3)))
        ]
        results = Results(rounds, failures=failures)
        for hub in gateways:
            if hub.name == HUB:
                results = with_its_times(results, hub, cpus)
    return Report(where, results, about, plan.most_streams)


def with_its_times(results: Results, hub: Gateway, cpus: Cpus) -> Results:
    """Starts and ``--help``; and its books are proved, now that everything is over."""
    say(f"{hub.name}: its books, its starts and --help")
    run_relayhub(hub.folder, "ledger", "check")
    help_s = command_times((*relayhub_program(), "--help"), cpus, hub.env)
    return replace(results, starts_s=start_times(hub, cpus), help_s=help_s)


def prepare(names: Sequence[str], folder: Path, upstream_port: int) -> tuple[list[Gateway], list[str]]:
    """Those that can be measured here, and why others cannot."""
    ready, missing = [], []
    for name in names:
        own = folder / name
        own.mkdir()
        try:
            ready.append(GATEWAYS[name](own, upstream_port))
        except NotInstalledError as error:
            missing.append(f"not measured: {error}")
    return ready, missing


def one_round(
    gateways: Sequence[Gateway], plan: Plan, upstream_port: int, number: int, failures: list[str]
) -> Iterator[tuple[str, Round]]:
    """A gateway that does not serve is added to ``failures`` and left out."""
    say(f"round {number}: {DIRECT}")
    yield DIRECT, direct(plan, upstream_port)
    for gateway in gateways:
        say(f"round {number}: {gateway.name}")
        try:
            yield gateway.name, measure(gateway, plan)
        except NotServingError as error:
            say(f"round {number}: {error}")
            failures.append(f"round {number}: {error}")


def say(*lines: str) -> None:
    """What is going on, apart from the result."""
    for line in lines:
        sys.stderr.write(line + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

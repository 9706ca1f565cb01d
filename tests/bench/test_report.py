from __future__ import annotations

import json
from dataclasses import replace

from tests.bench.machine import Machine
from tests.bench.phases import Phase
from tests.bench.processes import Cpus
from tests.bench.promises import BARE, HUB
from tests.bench.report import Report
from tests.bench.results import Results
from tests.bench.test_promises import FIGURES, ran

MACHINE = Machine("2026-01-02 03:04 UTC", "A processor", 2, Cpus(0, 1), 0.5, "3.11", "3.14", "0.23", 0.25, 4.0)


def report(results: Results, most_streams: int = 1000) -> Report:
    return Report(MACHINE, results, ["relayhub 0.1.0", "not measured: nginx is not installed"], most_streams)


def test_the_text_has_every_promise_with_its_bounds_and_the_verdict() -> None:
    text = report(Results([{HUB: ran(0.1), BARE: ran(0.2)}])).text()
    line = next(line for line in text.splitlines() if "relayhub ÷ aiohttp" in line)
    assert line.split()[-8:] == ["2", "×", "≥", "1.5", "≥", "2.5", "must", "met"]
    assert "fdatasync p50 0.25 ms" in text
    assert "nginx is not installed" in text


def test_the_markdown_is_two_tables_under_what_was_measured_where() -> None:
    lines = report(Results([{HUB: ran(0.1), BARE: ran(0.2)}])).markdown().splitlines()
    assert lines[0].startswith("- 2026-01-02 03:04 UTC; 2 × A processor")
    assert "| promise | measured | must | goal | verdict |" in lines
    assert "| figure | relayhub | aiohttp |" in lines
    assert "| CPU per request, µs: 1 KB, 32 connections | 100 | 200 |" in lines
    assert len({line.count("|") for line in lines if line.startswith("| CPU per request, µs")}) == 1


def test_errors_and_a_load_that_was_too_weak_are_not_hidden() -> None:
    text = report(
        Results([{HUB: ran(0.1, replace(FIGURES, broken=3))}], failures=["round 1: LiteLLM did not start"]), 250
    ).text()
    assert "DOES NOT COUNT: round 1, relayhub, busy: 1000 done, 0 not 200, 3 broken off" in text
    assert "DOES NOT COUNT: round 1: LiteLLM did not start" in text
    assert "load and mock manage 250 paced streams here" in text


def test_the_json_has_every_figure() -> None:
    whole = json.loads(report(Results([{HUB: ran(0.1)}], starts_s=[0.7])).json())
    assert whole["machine"]["fsync_p50_ms"] == 0.25
    assert whole["results"]["rounds"][0][HUB]["phases"][Phase.BUSY]["figures"]["done"] == 1000
    assert whole["results"]["starts_s"] == [0.7]
    assert {"what", "unit", "value", "must", "goal", "verdict"} == set(whole["promises"][0])

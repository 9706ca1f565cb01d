from __future__ import annotations

from dataclasses import replace

import pytest

from tests.bench.load import Figures, Spread
from tests.bench.phases import Measured, Phase, Round
from tests.bench.promises import BARE, HUB, LITELLM, Bound, Promise, Verdict, promises
from tests.bench.results import DIRECT, Results, per_request_us

FIGURES = Figures(
    done=1000,
    chunks=100_000,
    wall_s=1,
    took=Spread(700, 900, 1000),
    first=Spread(1, 30_000, 2),
    delay=Spread(1, 15_000, 2),
)


def ran(cpu_s: float = 0.1, figures: Figures = FIGURES) -> Round:
    """Every phase at this much processor time, with 1 000 requests and 100 000 chunks done."""
    measured = Measured(figures, cpu_s, peak_mib=100)
    return Round(dict.fromkeys(Phase, measured), first_answer_s=1, idle_mib=70)


def of(results: Results) -> dict[str, Promise]:
    return {promise.what: promise for promise in promises(results)}


@pytest.mark.parametrize(
    ("value", "must", "goal", "verdict"),
    [
        (1.5, Bound(3), Bound(1.5), Verdict.GOAL),
        (3.0, Bound(3), Bound(1.5), Verdict.MUST),
        (3.1, Bound(3), Bound(1.5), Verdict.MISSED),
        (120, Bound(60, at_least=True), Bound(120, at_least=True), Verdict.GOAL),
        (60, Bound(60, at_least=True), Bound(120, at_least=True), Verdict.MUST),
        (59, Bound(60, at_least=True), Bound(120, at_least=True), Verdict.MISSED),
        (7, Bound(7, at_least=True), None, Verdict.MUST),
        (2, None, Bound(1), Verdict.MISSED),
        (None, Bound(3), Bound(1), Verdict.UNKNOWN),
    ],
)
def test_a_promise_is_judged_by_its_bounds(
    value: float | None, must: Bound | None, goal: Bound | None, verdict: Verdict
) -> None:
    assert Promise("what", "×", value, must, goal).verdict is verdict


def test_a_ratio_is_the_median_of_the_rounds_own_ratios() -> None:
    """A machine that is slower in one round is slower for both."""
    results = Results([{HUB: ran(0.1), BARE: ran(0.2)}, {HUB: ran(0.3), BARE: ran(0.9)}, {HUB: ran(5), BARE: ran(10)}])
    assert results.ratio((BARE, Phase.BUSY), (HUB, Phase.BUSY), per_request_us) == 2
    assert results.middle(HUB, Phase.BUSY, per_request_us) == pytest.approx(300)


def test_more_requests_per_second_of_processor_time_are_better() -> None:
    promise = of(Results([{HUB: ran(0.1), BARE: ran(0.2)}]))[
        "requests per CPU second, 1 KB, 32 connections: relayhub ÷ aiohttp"
    ]
    assert (promise.value, promise.verdict) == (2, Verdict.MUST)


def test_what_was_not_measured_is_said_to_be() -> None:
    missing = {what for what, promise in of(Results([{HUB: ran()}])).items() if promise.verdict is Verdict.UNKNOWN}
    assert any(LITELLM in what for what in missing)
    assert "memory idle" not in missing
    assert "relayhub --help" in missing


@pytest.mark.parametrize(
    "figures",
    [
        replace(FIGURES, not_200=1),
        replace(FIGURES, broken=1),
        replace(FIGURES, unfinished=1),
        replace(FIGURES, short=1),
    ],
)
def test_a_round_with_errors_counts_for_nothing(figures: Figures) -> None:
    results = Results([{HUB: ran(0.1), BARE: ran(0.1, figures)}, {HUB: ran(0.2), BARE: ran(0.6)}])
    assert results.ratio((BARE, Phase.BUSY), (HUB, Phase.BUSY), per_request_us) == pytest.approx(3)
    assert len(results.errors()) == len(Phase)
    assert f"round 1, {BARE}, busy: 1000 done" in "\n".join(results.errors())


def test_a_phase_in_which_nothing_was_done_counts_for_nothing() -> None:
    results = Results([{HUB: ran(0.1, replace(FIGURES, done=0))}])
    assert results.middle(HUB, Phase.BUSY, per_request_us) is None
    assert results.errors()


def test_books_that_lack_a_call_are_an_error() -> None:
    [error] = Results([{HUB: replace(ran(), settled=0.999)}]).errors()
    assert "99.9%" in error
    assert not Results([{HUB: replace(ran(), settled=1.0)}]).errors()


def test_what_the_gateway_adds_is_what_direct_did_not_take() -> None:
    direct = replace(ran(), phases={Phase.LONE: Measured(replace(FIGURES, took=Spread(100, 100, 100)))})
    promise = of(Results([{DIRECT: direct, HUB: ran()}]))["p50 added to one request that is alone"]
    assert promise.value == pytest.approx(0.6)


def test_delays_are_in_milliseconds() -> None:
    found = of(Results([{HUB: ran()}], starts_s=[0.7, 0.9, 2.0], help_s=[0.1]))
    values = [promise.value for what, promise in found.items() if what.startswith("1 000 paced")]
    assert values == [30, 15]
    assert found["start to first served request"].value == 0.9
    assert found["relayhub --help"].verdict is Verdict.GOAL

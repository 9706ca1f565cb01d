"""What relayhub promises about speed, and whether a run keeps it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from tests.bench.phases import Phase
from tests.bench.results import (
    DIRECT,
    Figure,
    Results,
    delay_p99_ms,
    first_p99_ms,
    middle_of,
    peak_mib,
    per_chunk_us,
    per_request_us,
    took_p50_ms,
)

HUB, BARE, NGINX, LITELLM = "relayhub", "aiohttp", "nginx", "LiteLLM"


class Verdict(StrEnum):
    GOAL = "goal met"
    MUST = "must met"
    MISSED = "MISSED"
    UNKNOWN = "not measured"


@dataclass(frozen=True, slots=True)
class Bound:
    """``limit`` is still good."""

    limit: float
    at_least: bool = False

    def kept(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.limit:g}"


@dataclass(frozen=True, slots=True)
class Promise:
    """One line of the table. ``must`` or ``goal`` may be missing, ``value`` where it was not measured."""

    what: str
    unit: str
    value: float | None
    must: Bound | None
    goal: Bound | None

    @property
    def verdict(self) -> Verdict:
        if self.value is None:
            return Verdict.UNKNOWN
        if self.goal is not None and self.goal.kept(self.value):
            return Verdict.GOAL
        if self.must is None:
            return Verdict.MISSED
        return Verdict.MUST if self.must.kept(self.value) else Verdict.MISSED


def promises(results: Results) -> list[Promise]:
    """Every line, in the order of the table."""
    return [*_requests(results), *_chunks(results), *_delays(results), *_process(results)]


def _requests(results: Results) -> Iterator[Promise]:
    busy, image = Phase.BUSY, Phase.IMAGE
    per_cpu_second = "requests per CPU second, 1 KB, 32 connections"
    yield _cheaper(results, f"{per_cpu_second}: relayhub ÷ LiteLLM", LITELLM, busy, per_request_us, 60, 120)
    yield _cheaper(results, f"{per_cpu_second}: relayhub ÷ aiohttp", BARE, busy, per_request_us, 1.5, 2.5)
    yield _dearer(results, "CPU per request: relayhub ÷ nginx", NGINX, busy, per_request_us, 6, 3.5)
    yield _cheaper(results, "CPU per 1 MB request: LiteLLM ÷ relayhub", LITELLM, image, per_request_us, 7, None)
    yield _dearer(results, "CPU per 1 MB request: relayhub ÷ nginx", NGINX, image, per_request_us, None, 1)


def _chunks(results: Results) -> Iterator[Promise]:
    for phase, streams in ((Phase.PACED_20, 20), (Phase.PACED_200, 200)):
        title = f"CPU per chunk, {streams} paced streams"
        yield _cheaper(results, f"{title}: LiteLLM ÷ relayhub", LITELLM, phase, per_chunk_us, 12, 18)
        yield _dearer(results, f"{title}: relayhub ÷ nginx", NGINX, phase, per_chunk_us, 2, 1.3)
    lanes = results.ratio((HUB, Phase.TRANSLATED_200), (HUB, Phase.PACED_200), per_chunk_us)
    yield Promise("CPU per chunk: translated lane ÷ pass-through lane", "×", lanes, Bound(3), Bound(1.5))


def _delays(results: Results) -> Iterator[Promise]:
    thousand = Phase.PACED_1000
    first = results.middle(HUB, thousand, first_p99_ms)
    delay = results.middle(HUB, thousand, delay_p99_ms)
    added = results.difference(HUB, DIRECT, Phase.LONE, took_p50_ms)
    yield Promise("1 000 paced streams without errors: first chunk after, p99", "ms", first, Bound(50), Bound(10))
    yield Promise("1 000 paced streams without errors: delay of a chunk, p99", "ms", delay, Bound(20), Bound(10))
    yield Promise("p50 added to one request that is alone", "ms", added, Bound(1), Bound(0.6))


def _process(results: Results) -> Iterator[Promise]:
    full = results.middle(HUB, Phase.PACED_1000, peak_mib)
    yield Promise("memory idle", "MB", results.idle_mib(HUB), Bound(90), Bound(60))
    yield Promise("memory with 1 000 streams", "MB", full, Bound(160), Bound(90))
    yield Promise("start to first served request", "s", middle_of(results.starts_s), Bound(1.5), Bound(0.8))
    yield Promise("relayhub --help", "s", middle_of(results.help_s), Bound(0.35), Bound(0.2))


def _cheaper(
    results: Results, what: str, than: str, phase: Phase, figure: Figure, must: float, goal: float | None
) -> Promise:
    ratio = results.ratio((than, phase), (HUB, phase), figure)
    return Promise(what, "×", ratio, Bound(must, at_least=True), None if goal is None else Bound(goal, at_least=True))


def _dearer(
    results: Results, what: str, than: str, phase: Phase, figure: Figure, must: float | None, goal: float
) -> Promise:
    ratio = results.ratio((HUB, phase), (than, phase), figure)
    return Promise(what, "×", ratio, None if must is None else Bound(must), Bound(goal))

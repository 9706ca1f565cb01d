"""What all rounds together say. A phase with errors counts for nothing; ratios are taken round by round."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from tests.bench.load import Spread
from tests.bench.phases import Measured, Phase, Round

DIRECT = "direct"
"""The name of load and mock without a gateway between them."""

Figure = Callable[[Measured], float]


def per_request_us(measured: Measured) -> float:
    return measured.cpu_s / measured.figures.done * 1e6


def per_chunk_us(measured: Measured) -> float:
    return measured.cpu_s / measured.figures.chunks * 1e6


def took_p50_ms(measured: Measured) -> float:
    return _spread(measured.figures.took).p50_us / 1000


def first_p99_ms(measured: Measured) -> float:
    return _spread(measured.figures.first).p99_us / 1000


def delay_p99_ms(measured: Measured) -> float:
    return _spread(measured.figures.delay).p99_us / 1000


def delay_p50_ms(measured: Measured) -> float:
    return _spread(measured.figures.delay).p50_us / 1000


def peak_mib(measured: Measured) -> float:
    return measured.peak_mib


def _spread(spread: Spread | None) -> Spread:
    assert spread is not None, "a phase that counts has figures"
    return spread


@dataclass(frozen=True, slots=True)
class Results:
    """``rounds``: by the gateway's name. ``starts_s``, ``help_s``: of relayhub, apart from the rounds. ``failures``: gateways
    that did not serve."""

    rounds: Sequence[Mapping[str, Round]]
    starts_s: Sequence[float] = ()
    help_s: Sequence[float] = ()
    failures: Sequence[str] = ()

    def gateways(self) -> list[str]:
        """In the order in which they were measured."""
        return list(dict.fromkeys(name for round_ in self.rounds for name in round_))

    def middle(self, gateway: str, phase: Phase, figure: Figure) -> float | None:
        return middle_of([value for value in self._values(gateway, phase, figure) if value is not None])

    def ratio(self, over: tuple[str, Phase], under: tuple[str, Phase], figure: Figure) -> float | None:
        """The median of the rounds' ratios; a round without both says nothing."""
        pairs = zip(self._values(*over, figure), self._values(*under, figure), strict=True)
        return middle_of([above / below for above, below in pairs if above is not None and below])

    def difference(self, gateway: str, minus: str, phase: Phase, figure: Figure) -> float | None:
        pairs = zip(self._values(gateway, phase, figure), self._values(minus, phase, figure), strict=True)
        return middle_of([more - less for more, less in pairs if more is not None and less is not None])

    def idle_mib(self, gateway: str) -> float | None:
        return middle_of([round_[gateway].idle_mib for round_ in self.rounds if gateway in round_])

    def first_answer_s(self, gateway: str) -> float | None:
        return middle_of([round_[gateway].first_answer_s for round_ in self.rounds if gateway in round_])

    def errors(self) -> list[str]:
        """One line for each phase that does not count, and for books that do not have every call."""
        found = list(self.failures)
        for number, round_ in enumerate(self.rounds, 1):
            for name, ran in round_.items():
                if ran.settled is not None and ran.settled < 1:
                    found.append(
                        f"round {number}, {name}: only {ran.settled:.1%} of the calls are in its books as complete"
                    )
                found += [
                    f"round {number}, {name}, {phase}: {_what_failed(measured)}"
                    for phase, measured in ran.phases.items()
                    if not measured.counts
                ]
        return found

    def _values(self, gateway: str, phase: Phase, figure: Figure) -> list[float | None]:
        return [_value(round_, gateway, phase, figure) for round_ in self.rounds]


def _value(round_: Mapping[str, Round], gateway: str, phase: Phase, figure: Figure) -> float | None:
    ran = round_.get(gateway)
    measured = ran.phases.get(phase) if ran is not None else None
    return figure(measured) if measured is not None and measured.counts else None


def middle_of(values: Sequence[float]) -> float | None:
    return median(values) if values else None


def _what_failed(measured: Measured) -> str:
    figures = measured.figures
    return (
        f"{figures.done} done, {figures.not_200} not 200, {figures.broken} broken off, {figures.unfinished} unfinished, "
        f"{figures.short} streams with chunks missing. {figures.first_error}"
    )

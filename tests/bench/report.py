"""A run as a person reads it, as Markdown for docs/performance.md, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from tests.bench.machine import Machine
from tests.bench.phases import ABOUT, Phase
from tests.bench.promises import Bound, Promise, promises
from tests.bench.results import (
    Figure,
    Results,
    delay_p50_ms,
    delay_p99_ms,
    first_p99_ms,
    peak_mib,
    per_chunk_us,
    per_request_us,
    took_p50_ms,
)

SHOWN: tuple[tuple[str, Phase, Figure], ...] = (
    ("CPU per request, µs", Phase.BUSY, per_request_us),
    ("CPU per request, µs", Phase.IMAGE, per_request_us),
    ("p50 of a request, ms", Phase.LONE, took_p50_ms),
    ("CPU per chunk, µs", Phase.PACED_20, per_chunk_us),
    ("CPU per chunk, µs", Phase.PACED_200, per_chunk_us),
    ("CPU per chunk, µs", Phase.PACED_1000, per_chunk_us),
    ("CPU per chunk, µs", Phase.TRANSLATED_200, per_chunk_us),
    ("delay of a chunk, p50, ms", Phase.PACED_200, delay_p50_ms),
    ("delay of a chunk, p99, ms", Phase.PACED_200, delay_p99_ms),
    ("delay of a chunk, p99, ms", Phase.PACED_1000, delay_p99_ms),
    ("first chunk after, p99, ms", Phase.PACED_1000, first_p99_ms),
    ("memory at its peak, MB", Phase.PACED_1000, peak_mib),
)
NONE = "–"


@dataclass(frozen=True, slots=True)
class Report:
    """``about``: one line for each gateway, and one for each that is missing. ``most_streams``: what the load could do."""

    machine: Machine
    results: Results
    about: Sequence[str]
    most_streams: int

    def text(self) -> str:
        """For a terminal."""
        return "\n".join(["", *_padded(self._figures()), "", *_padded(self._promises()), "", *self._notes(), ""])

    def markdown(self) -> str:
        """What stands between the marks in docs/performance.md."""
        notes = [f"- {note}" for note in self._notes()]
        return "\n".join([*notes, "", *_piped(self._promises()), "", *_piped(self._figures()), ""])

    def json(self) -> str:
        lines = [{**asdict(promise), "verdict": promise.verdict} for promise in promises(self.results)]
        whole = {
            "machine": asdict(self.machine),
            "gateways": list(self.about),
            "most_streams": self.most_streams,
            "promises": lines,
            "errors": self.results.errors(),
            "results": asdict(self.results),
        }
        return json.dumps(whole, indent=1, ensure_ascii=False)

    def _notes(self) -> list[str]:
        smaller = f"load and mock manage {self.most_streams} paced streams here, not 1 000: read those lines so"
        errors = [f"DOES NOT COUNT: {error}" for error in self.results.errors()]
        return [*self.machine.lines(), *self.about, *([smaller] if self.most_streams < 1000 else []), *errors]

    def _promises(self) -> list[list[str]]:
        head = ["promise", "measured", "must", "goal", "verdict"]
        return [head, *(_promise_row(promise) for promise in promises(self.results))]

    def _figures(self) -> list[list[str]]:
        names = self.results.gateways()
        rows = [["figure", *names]]
        for title, phase, figure in SHOWN:
            found = [self.results.middle(name, phase, figure) for name in names]
            if any(value is not None for value in found):
                rows.append([f"{title}: {ABOUT[phase]}", *(_number(value or None) for value in found)])
        rows.append(["memory idle, MB", *(_number(self.results.idle_mib(name) or None) for name in names)])
        rows.append(
            ["start to first answer, s", *(_number(self.results.first_answer_s(name) or None) for name in names)]
        )
        return rows


def _promise_row(promise: Promise) -> list[str]:
    value = f"{_number(promise.value)} {promise.unit}" if promise.value is not None else NONE
    return [promise.what, value, _bound(promise.must), _bound(promise.goal), str(promise.verdict)]


def _bound(bound: Bound | None) -> str:
    return NONE if bound is None else str(bound)


def _number(value: float | None) -> str:
    """Three digits that matter."""
    if value is None:
        return NONE
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _padded(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _piped(rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return [lines[0], "|---" * len(rows[0]) + "|", *lines[1:]]

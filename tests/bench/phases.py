"""What each gateway is put through, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from tests.bench.load import Figures, Task


class Phase(StrEnum):
    WARM = "warm"
    LONE = "lone"
    BUSY = "busy"
    IMAGE = "image"
    PACED_20 = "paced-20"
    PACED_200 = "paced-200"
    PACED_1000 = "paced-1000"
    TRANSLATED_200 = "translated-200"


ABOUT: Mapping[Phase, str] = {
    Phase.LONE: "1 KB, 1 connection",
    Phase.BUSY: "1 KB, 32 connections",
    Phase.IMAGE: "1 MB with a base64 image, 4 connections",
    Phase.PACED_20: "20 streams, a chunk every 50 ms each",
    Phase.PACED_200: "200 streams, a chunk every 50 ms each",
    Phase.PACED_1000: "1 000 streams, a chunk every 50 ms each",
    Phase.TRANSLATED_200: "200 such streams, Anthropic client and OpenAI upstream",
}
TASKS: Mapping[Phase, Task] = {
    Phase.WARM: Task(0, connections=4, seconds=1),
    Phase.LONE: Task(0, connections=1, seconds=3),
    Phase.BUSY: Task(0, connections=32, seconds=4),
    Phase.IMAGE: Task(0, connections=4, seconds=4, size_kib=1024),
    Phase.PACED_20: Task(0, streams=20, ramp_s=0.5),
    Phase.PACED_200: Task(0, streams=200, ramp_s=1),
    Phase.PACED_1000: Task(0, streams=1000, ramp_s=2.5),
    Phase.TRANSLATED_200: Task(0, streams=200, ramp_s=1, anthropic=True),
}
QUICK_PART = 0.5


def task_of(phase: Phase, port: int, key: str, *, quick: bool, most_streams: int) -> Task:
    """``most_streams``: what the load itself can do here; see :func:`tests.bench.rounds.calibrate`."""
    task = replace(TASKS[phase], port=port, key=key)
    task = replace(task, streams=min(task.streams, most_streams))
    if not quick:
        return task
    return replace(task, seconds=task.seconds * QUICK_PART, chunks=int(task.chunks * QUICK_PART))


@dataclass(frozen=True, slots=True)
class Measured:
    """One phase of one gateway in one round. ``cpu_s``: of the gateway's whole process tree; ``peak_mib``: the most memory
    seen while it ran, 0 where that was not looked at."""

    figures: Figures
    cpu_s: float = 0.0
    peak_mib: float = 0.0

    @property
    def counts(self) -> bool:
        """A figure of a phase with errors says nothing."""
        return self.figures.errors == 0 and self.figures.done > 0


@dataclass(frozen=True, slots=True)
class Round:
    """One gateway in one round. ``settled``: calls its books have as complete ÷ calls the load saw complete, in this round;
    ``None``: it has no books."""

    phases: Mapping[Phase, Measured]
    first_answer_s: float
    idle_mib: float
    settled: float | None = None

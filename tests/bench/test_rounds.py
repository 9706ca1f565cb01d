from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from tests.bench import rounds
from tests.bench.load import Figures, Spread, Task
from tests.bench.phases import Phase
from tests.bench.processes import Cpus
from tests.bench.rounds import Plan, calibrate, command_times

PLAN = Plan(Cpus(None, None), [Phase.PACED_1000])


def delayed(milliseconds: float) -> Figures:
    return Figures(done=1, delay=Spread(1, milliseconds * 1000, 1e6))


@pytest.mark.parametrize(
    ("runs", "streams"),
    [
        ([delayed(1)], 1000),
        ([delayed(30), delayed(1)], 1000),
        ([delayed(30), delayed(30), delayed(1)], 500),
        ([Figures(broken=1, done=9), Figures(unfinished=1), delayed(30), delayed(30), delayed(1)], 250),
        ([delayed(30)] * 6, 125),
    ],
    ids=["good", "busy for a moment", "half", "errors", "never"],
)
def test_there_are_as_many_streams_as_the_load_itself_can_take(
    runs: list[Figures], streams: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = list(runs)
    monkeypatch.setattr(rounds, "drive", _in_turn(left))
    assert calibrate(PLAN, 1) == streams
    assert left == []


def _in_turn(left: list[Figures]) -> Callable[[Task, Cpus], Figures]:
    def drive(_: Task, __: Cpus) -> Figures:
        return left.pop(0)

    return drive


def test_a_command_is_timed_to_its_end() -> None:
    times = command_times((sys.executable, "-c", "import time; time.sleep(0.05)"), PLAN.cpus, {})
    assert len(times) == 5
    assert min(times) >= 0.05

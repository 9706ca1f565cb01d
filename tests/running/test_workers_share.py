"""What several processes have together: places at providers, further attempts, jobs looked at, sweeps, and the log."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from relayhub.build.routing import routing_terms
from relayhub.config import RoutingConfig
from relayhub.jobs.files import SWEPT, FileStore
from relayhub.routing.budget import RetryBudget
from relayhub.running.board import COLUMNS, Board, make_board, open_board
from relayhub.running.cpus import usable_cpus
from relayhub.running.log_lines import LogLines
from relayhub.testing import FakeClock
from relayhub.types.share import WHOLE, Share
from relayhub.web.machine import Machine
from relayhub.web.overload import Overload

ROOT = Path(__file__).parent.parent.parent


def boards(workers: int) -> tuple[Board, list[Board]]:
    made = make_board(workers)
    return made, [open_board(made.descriptor, Share(number, workers)) for number in range(1, workers + 1)]


def test_each_worker_sees_how_many_calls_the_others_have() -> None:
    _, (first, second, third) = boards(3)
    first.note("a", 2)
    second.note("a", 5)
    second.note("b", 7)
    assert [one.others("a") for one in (first, second, third)] == [5, 2, 7]
    assert [one.others("b") for one in (first, second, third)] == [7, 0, 7]


def test_the_calls_of_a_dead_worker_are_forgotten_and_those_of_the_others_are_not() -> None:
    made, (first, second) = boards(2)
    first.note("a", 2)
    second.note("a", 5)
    made.clear(2)
    assert (first.others("a"), second.others("a")) == (0, 2)


def test_a_provider_for_whom_there_is_no_column_counts_in_its_own_process_only() -> None:
    _, (first, second) = boards(2)
    for number in range(COLUMNS):
        first.note(f"p{number}", 1)
    first.note("one too many", 1)
    assert second.others("one too many") == 0
    assert second.others("p0") == 1


def test_further_attempts_are_divided_and_each_worker_has_at_least_one() -> None:
    clock = FakeClock()
    budgets = [RetryBudget(clock, routing_terms(RoutingConfig(), Share(number, 4)).retries) for number in (1, 2, 3, 4)]
    for budget in budgets:
        assert budget.take("p")
        assert not budget.take("p")
    taken = 0
    for _ in range(100):
        clock.advance(0.1)
        taken += sum(budget.take("p") for budget in budgets)
    assert 28 <= taken <= 30, "three a second, as with one process"


@pytest.mark.parametrize(("limit", "of", "part"), [(10, 1, 10), (10, 2, 5), (10, 4, 3), (1, 4, 1)])
def test_a_part_is_never_nothing(limit: int, of: int, part: int) -> None:
    assert Share(1, of).part(limit) == part


def test_what_the_machine_can_carry_is_divided() -> None:
    alone, one_of_four = (Overload(FakeClock(), 100, 40, share=share) for share in (WHOLE, Share(2, 4)))
    assert (alone.max_in_flight(), alone.max_clients()) == (100, 40)
    assert (one_of_four.max_in_flight(), one_of_four.max_clients()) == (25, 10)
    one_of_four.limit(8, None)
    assert one_of_four.max_in_flight() == 2
    assert Machine(share=4).memory() == Machine().memory() // 4


def test_one_of_all_processes_sweeps_in_each_round(tmp_path: Path) -> None:
    first, second = FileStore(tmp_path, 1), FileStore(tmp_path, 1)
    assert [first.takes_sweep(60), second.takes_sweep(60), first.takes_sweep(60)] == [True, False, False]
    before = (tmp_path / SWEPT).stat().st_mtime
    os.utime(tmp_path / SWEPT, (before - 60, before - 60))
    assert [second.takes_sweep(60), first.takes_sweep(60)] == [True, False]
    assert FileStore(tmp_path / "none", 1).takes_sweep(60), "there is nothing to be in anybody's way"


def test_workers_by_the_cpus_that_may_be_used(tmp_path: Path) -> None:
    allowed = len(os.sched_getaffinity(0))
    quota = tmp_path / "cpu.max"
    assert usable_cpus(quota) == allowed
    for text, paid in (("max 100000\n", allowed), ("150000 100000\n", 2), ("10000 100000\n", 1)):
        quota.write_text(text)
        assert usable_cpus(quota) == min(allowed, paid)


LINES, LONG = 40, 100_000

WRITER = """
import sys
from relayhub.running.log_lines import LogLines
log = LogLines(1, int(sys.argv[1]))
for _ in range(int(sys.argv[2])):
    for piece in (sys.argv[3] * int(sys.argv[4]), "\\n"):
        log.write(piece)
"""


def test_lines_of_several_processes_come_out_whole_whatever_their_length(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    with (tmp_path / "lock").open("w") as lock:
        made = [
            subprocess.Popen(
                [sys.executable, "-c", WRITER, str(lock.fileno()), str(LINES), letter, str(LONG)],
                stdout=writing,
                pass_fds=(lock.fileno(),),
                cwd=ROOT,
            )
            for letter in "abc"
        ]
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            lines = pipe.read().splitlines()
        assert [one.wait() for one in made] == [0, 0, 0]
    assert len(lines) == 3 * LINES
    assert {(len(line), len(set(line))) for line in lines} == {(LONG, 1)}


def test_threads_of_one_process_do_not_mix_their_lines_either(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w+") as file, (tmp_path / "lock").open("w") as lock:
        log = LogLines(file.fileno(), lock.fileno())

        def write(letter: str) -> None:
            for _ in range(200):
                log.write(letter * 50)
                log.write("\n")

        threads = [threading.Thread(target=write, args=(letter,)) for letter in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        lines = (tmp_path / "log").read_text().splitlines()
    assert len(lines) == 800
    assert all(len(line) == 50 and len(set(line)) == 1 for line in lines)

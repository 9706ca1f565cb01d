"""Writers of several processes take turns at one file: none is left behind."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from relayhub.store.turnstile import PATIENCE_S, Turnstile
from tests.support.books import open_books

SECONDS = 5.0


@dataclass(frozen=True)
class Wrote:
    """By one process. Times in seconds."""

    commits: int
    holds: int
    hold_p50_s: float
    hold_p99_s: float
    cpu_s: float


async def write_together(
    path: Path, processes: int, callers: int = 16, seconds: float = SECONDS, durability: str = "process"
) -> list[Wrote]:
    async with open_books(path, total=10**12) as books:
        arguments = [str(path), books.issued.key.id, books.account_id, str(callers), str(seconds), durability]
        made = [
            await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.running.writing_child", *arguments,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            )
            for _ in range(processes)
        ]  # fmt: skip
        for one in made:
            assert one.stdout is not None
            assert await one.stdout.readline() == b"ready\n"
        said = await asyncio.gather(*(one.communicate(b"go\n") for one in made))
        return [Wrote(**json.loads(out)) for out, _ in said]


@pytest.mark.timeout(90)
async def test_no_writer_of_four_is_left_behind(tmp_path: Path) -> None:
    wrote = await write_together(tmp_path / "b.db", 4)
    holds = [one.holds for one in wrote]
    assert max(holds) <= 2 * min(holds), wrote
    commits = [one.commits for one in wrote]
    assert max(commits) <= 2 * min(commits), wrote


def test_nobody_waits_long_for_whoever_has_stopped(tmp_path: Path) -> None:
    database = tmp_path / "b.db"
    with greedy(database) as other:
        other.send_signal(signal.SIGSTOP)  # as like as not in the middle of a turn
        turns, began = Turnstile(database), time.monotonic()
        for _ in range(10):
            with turns:
                pass
        turns.close()
        assert time.monotonic() - began < 5 * PATIENCE_S, "once is enough to learn it"
        other.send_signal(signal.SIGCONT)


@contextmanager
def greedy(database: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.running.greedy_child", str(database)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == "begun\n"
            yield other
        finally:
            other.kill()

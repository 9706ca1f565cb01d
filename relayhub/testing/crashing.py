"""``python -m relayhub.testing.crashing serve …``: the real server, which kills or stops itself at a chosen step of the
ledger. See :mod:`relayhub.store.steps`.

``RELAYHUB_TESTING_CRASH_AT=before_commit:2`` is the second time that step is reached, counted from the start.
``RELAYHUB_TESTING_ORDERS=path`` is a file in which orders may be left while the server runs, one at a time:
``SIGKILL before_commit:2`` counts from when it is taken, and the file is gone then; ``SIGSTOP`` leaves the process where it
is until SIGCONT.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import click

from relayhub.cli.logs import configure_logging
from relayhub.cli.serve import serve_hub
from relayhub.cli.support import run, set_up

VARIABLE = "RELAYHUB_TESTING_CRASH_AT"
ORDERS = "RELAYHUB_TESTING_ORDERS"


class CrashAt:
    """An observer of ledger steps that ends the process at one of them, or does to it what ``number`` does."""

    def __init__(self, point: str, number: signal.Signals = signal.SIGKILL) -> None:
        self._step, _, nth = point.partition(":")
        self._nth = int(nth)
        self._signal = number
        self._seen: Counter[str] = Counter()

    def __call__(self, step: str) -> None:
        self._seen[step] += 1
        if step == self._step and self._seen[step] == self._nth:
            os.kill(os.getpid(), self._signal)


class CrashOnOrder:
    """The same with orders that come while the server runs. The next one replaces the one before."""

    def __init__(self, orders: Path) -> None:
        self._orders = orders
        self._current: CrashAt | None = None

    def __call__(self, step: str) -> None:
        with contextlib.suppress(FileNotFoundError):  # steps come from two threads: one of them takes the order
            name, _, point = self._orders.rename(self._orders.with_suffix(".taken")).read_text().partition(" ")
            self._current = CrashAt(point, signal.Signals[name])
        if self._current is not None:
            self._current(step)


def observer(variables: Mapping[str, str]) -> Callable[[str], None]:
    if (orders := variables.get(ORDERS)) is not None:
        return CrashOnOrder(Path(orders))
    return CrashAt(variables[VARIABLE])


@click.group()
def main() -> None:
    """Only what a test needs of the program."""


@main.command()
@click.option("--port", default="0")
def serve(port: str) -> None:
    """Serve ./relayhub.yaml until the step is reached."""
    setup = set_up(None, {"server.port": port})
    configure_logging("info", "json")
    run(serve_hub(setup, observer(os.environ)))


if __name__ == "__main__":
    main()

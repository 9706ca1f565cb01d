"""``python -m relayhub.testing.crashing serve …``: the real server, which kills itself with SIGKILL at a chosen step of
the ledger.

``RELAYHUB_TESTING_CRASH_AT=before_commit:2`` is the second time that step is reached. See :mod:`relayhub.store.steps`.
"""

from __future__ import annotations

import os
import signal
from collections import Counter

import click

from relayhub.cli.logs import configure_logging
from relayhub.cli.serve import serve_hub
from relayhub.cli.support import run, set_up

VARIABLE = "RELAYHUB_TESTING_CRASH_AT"


class CrashAt:
    """An observer of ledger steps that ends the process at one of them."""

    def __init__(self, point: str) -> None:
        self._step, _, nth = point.partition(":")
        self._nth = int(nth)
        self._seen: Counter[str] = Counter()

    def __call__(self, step: str) -> None:
        self._seen[step] += 1
        if step == self._step and self._seen[step] == self._nth:
            os.kill(os.getpid(), signal.SIGKILL)


@click.group()
def main() -> None:
    """Only what a test needs of the program."""


@main.command()
@click.option("--port", default="0")
def serve(port: str) -> None:
    """Serve ./relayhub.yaml until the step is reached."""
    setup = set_up(None, {"server.port": port})
    configure_logging("info", "json")
    run(serve_hub(setup, CrashAt(os.environ[VARIABLE])))


if __name__ == "__main__":
    main()

"""Somebody who wants every turn at a ledger: ``python -m tests.running.greedy_child FILE``. Begins at once, ends with its
stdin, and says how many turns it had."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from relayhub.store.turnstile import Turnstile

HELD_S = 0.005


def main(database: Path) -> None:
    over, turns, had = threading.Event(), Turnstile(database), 0
    threading.Thread(target=_wait_for_the_end, args=(over,)).start()
    while not over.is_set():
        with turns:
            over.wait(HELD_S)
        had += 1
        if had == 1:
            sys.stdout.write("begun\n")
            sys.stdout.flush()
    sys.stdout.write(f"{had}\n")


def _wait_for_the_end(over: threading.Event) -> None:
    sys.stdin.read()
    over.set()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

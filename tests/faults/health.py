"""Is the server still quick for others? One request for its health every few milliseconds, whatever else happens; from a
process of its own, which no test can slow down."""

from __future__ import annotations

import http.client
import json
import select
import subprocess
import sys
import time
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.faults.promises.figure import slower
from tests.support.server import Server

EVERY_S = 0.025
LIMIT_S = 0.25
"""The promise: p99 of /api/health under every fault."""

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Health:
    """``delays_s``: how late each answer came after it was due, so that a stall counts for every request it held up; less
    the time for which the machine had no processor for the server or for the watcher, which is nobody's fault here.
    ``statuses``: what was answered; 0 is a connection that broke."""

    delays_s: list[float]
    statuses: list[int]

    @property
    def p99_s(self) -> float:
        return sorted(self.delays_s)[int((len(self.delays_s) - 1) * 0.99)]

    def check(self, allowed: frozenset[int]) -> None:
        assert set(self.statuses) <= allowed, f"/api/health answered {set(self.statuses)}"
        late = [(round(at * EVERY_S, 1), round(delay, 2)) for at, delay in enumerate(self.delays_s) if delay > LIMIT_S]
        assert self.p99_s <= LIMIT_S * slower(), (
            f"/api/health: p99 {self.p99_s:.3f} s; (after s, late by s): {late[:20]}"
        )


def starved_s(pid: int) -> float:
    """How long a process, and this one, have been ready to run and were not let."""
    waits = 0
    for process in (pid, "self"):
        with suppress(OSError):  # the server may be gone, and not every kernel counts this
            waits += int(Path(f"/proc/{process}/schedstat").read_text().split()[1])
    return waits / 1e9


def watch(url: str, pid: int) -> Health:
    """Until standard input ends."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    health = Health([], [])
    due = time.monotonic()
    starved = [(due, starved_s(pid))]
    while not select.select([sys.stdin], [], [], max(due - time.monotonic(), 0))[0]:
        try:
            connection.request("GET", "/api/health")
            response = connection.getresponse()
            response.read()
            health.statuses.append(response.status)
        except (OSError, http.client.HTTPException):
            connection.close()
            health.statuses.append(0)
        if not health.delays_s:
            sys.stdout.write("watching\n")
            sys.stdout.flush()
        starved.append((time.monotonic(), starved_s(pid)))
        _, before_s = starved[bisect_right(starved, due, key=lambda known: known[0]) - 1]
        health.delays_s.append(max(starved[-1][0] - due - (starved[-1][1] - before_s), 0.0))
        due += EVERY_S
    return health


@contextmanager
def watching(server: Server) -> Iterator[list[Health]]:
    """Watch a server while the block runs; what was seen is in the list afterwards."""
    command = [sys.executable, "-m", "tests.faults.health", server.url, str(server.process.pid)]
    found: list[Health] = []
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as watcher:
        assert watcher.stdout is not None
        assert watcher.stdout.readline() == "watching\n"
        try:
            yield found
        finally:
            seen, _ = watcher.communicate(timeout=30)
    found.append(Health(**json.loads(seen)))


@contextmanager
def watched_health(server: Server, allowed: frozenset[int] = frozenset({200})) -> Iterator[None]:
    """Watch a server while the block runs; fails if it was slow for others. ``allowed``: what it may answer."""
    with watching(server) as found:
        yield
    found[0].check(allowed)


if __name__ == "__main__":
    found = watch(sys.argv[1], int(sys.argv[2]))
    sys.stdout.write(json.dumps({"delays_s": found.delays_s, "statuses": found.statuses}))

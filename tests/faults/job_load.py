"""Thousands of open jobs on one process: see scripts/jobs-load. How long after its upstream a status changes here, what is
asked of the upstream, and what the process holds meanwhile."""

from __future__ import annotations

import argparse
import http.client
import json
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from relayhub.testing import Fate, JobStep, Wait
from relayhub.testing.upstream import Answer, Recorded
from relayhub_seedance.simulator import ArkSimulator
from tests.faults.memory import MIB, cpu_s, peak_bytes, resident_bytes
from tests.support.job_crashes import check_books, film
from tests.support.server import Server, cli, environment, running

CLIENTS = 16
SETTLE_S = 120.0

CONFIG = """
server: {{drain_s: 1}}
store: {{path: hub.db}}
logging: {{level: warning}}
providers:
  ark:
    type: seedance
    base_url: {url}/api/v3
    api_key: ark-key
    poll: {{first_s: {every_s}, every_s: {every_s}, slow_after_s: 3600, slow_every_s: 3600}}
    models:
      film: {{upstream: doubao-seedance-2-0-260128, operations: [video], price: {{video: {{"*": "0.01"}}}}}}
"""


@dataclass(frozen=True)
class Load:
    """``jobs`` are submitted, all of them are open for ``open_s``, and then begin and end at random within ``spread_s``
    each. ``answer_s``: how long the upstream takes for each answer."""

    jobs: int
    every_s: int
    open_s: float
    spread_s: float
    answer_s: float = 0.05
    seed: int = 1


@dataclass(frozen=True)
class Figures:
    """Lags in seconds, of both changes of every job; ``polls_per_s`` while all were open."""

    open_at_once: int
    submits_per_s: float
    lag_p50_s: float
    lag_p95_s: float
    lag_max_s: float
    polls_per_s: float
    cpu_share: float
    idle_rss_mib: float
    peak_rss_mib: float


class SlowArk(ArkSimulator):
    """Like an upstream far away. It forgets what it was asked: there are too many polls."""

    def __init__(self, answer_s: float) -> None:
        super().__init__()
        self._answer_s = answer_s

    def answer(self, request: Recorded) -> Answer:
        answer = super().answer(request)
        self.requests.clear()
        return Answer(answer.status, answer.body, answer.headers, (Wait(self._answer_s),), answer.executed)


def fates(load: Load, submit_s: float) -> Iterator[Fate]:
    """The first jobs wait until the last one is there."""
    dice = random.Random(load.seed)
    for number in range(load.jobs):
        rest_s = submit_s * (1 - number / load.jobs)
        yield Fate(rest_s + load.open_s + dice.uniform(0, load.spread_s), dice.uniform(1, load.spread_s))


def run_load(home: Path, load: Load, *, submit_s: float) -> Figures:
    """``submit_s``: about how long it takes to submit them all. Raises ``AssertionError`` for books that are not exact and
    jobs that do not end."""
    upstream = SlowArk(load.answer_s)
    upstream.foretell(*fates(load, submit_s))
    with upstream.in_thread() as url:
        config = CONFIG.format(url=url, every_s=load.every_s)
        (home / "relayhub.yaml").write_text(config)
        key = json.loads(cli(home, "keys", "create", "k", "--json", env=environment(home)))["key"]
        with running(home, config) as server:
            return measured(server, key, upstream, load)


def measured(server: Server, key: str, upstream: SlowArk, load: Load) -> Figures:
    pid, clock = server.process.pid, upstream.now
    idle = resident_bytes(pid)
    began = clock()
    submit_all(server, key, load.jobs)
    submitted = clock()
    opened = int(str(server.rows("SELECT count(*) AS n FROM jobs WHERE finished_at IS NULL")[0]["n"]))
    polls, cpu = upstream.steps[JobStep.POLL], cpu_s(pid)
    server.wait_until(lambda: clock() >= submitted + load.open_s, within_s=load.open_s + 5)
    polled, used = upstream.steps[JobStep.POLL] - polls, cpu_s(pid) - cpu
    over = "SELECT count(*) AS n FROM jobs WHERE finished_at IS NULL"
    server.wait_until(lambda: server.rows(over) == [{"n": 0}], within_s=3 * load.spread_s + SETTLE_S, every_s=0.5)
    check_books(server)
    behind = lags(server, upstream)
    return Figures(
        open_at_once=opened,
        submits_per_s=round(load.jobs / (submitted - began), 1),
        lag_p50_s=share(behind, 0.5),
        lag_p95_s=share(behind, 0.95),
        lag_max_s=share(behind, 1.0),
        polls_per_s=round(polled / load.open_s, 1),
        cpu_share=round(used / load.open_s, 2),
        idle_rss_mib=round(idle / MIB, 1),
        peak_rss_mib=round(peak_bytes(pid) / MIB, 1),
    )


def submit_all(server: Server, key: str, jobs: int) -> None:
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}

    def client(number: int) -> None:
        connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=60)
        for job in range(number, jobs, CLIENTS):
            connection.request("POST", "/v1/videos", film(f"film {job}"), headers)
            reply = connection.getresponse()
            said = reply.read()
            assert reply.status == 200, f"a submit was answered {reply.status}: {said!r}"
        connection.close()

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(client, range(CLIENTS)))


def lags(server: Server, upstream: SlowArk) -> list[float]:
    """How much later each job was seen to begin, and was settled, than it did at the upstream; in order of size."""
    rows = server.rows("SELECT upstream_id, state, started_at, finished_at FROM jobs")
    found: list[float] = []
    for row in rows:
        job = upstream.jobs[str(row["upstream_id"])]
        assert row["state"] == "succeeded"
        begins = job.created_at + job.fate.queue_s
        ends = begins + job.fate.run_s
        started, finished = row["started_at"], row["finished_at"]
        assert isinstance(finished, float)
        found += [finished - ends] + ([started - begins] if isinstance(started, float) else [])
    return sorted(found)


def share(ordered: Sequence[float], part: float) -> float:
    return round(ordered[min(int(len(ordered) * part), len(ordered) - 1)], 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=5000)
    parser.add_argument("--every", type=int, default=8, help="seconds between two polls of a job")
    parser.add_argument("--open", type=float, default=40, help="seconds for which all are open")
    parser.add_argument("--spread", type=float, default=60, help="seconds within which they begin, and end")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        load = Load(asked.jobs, asked.every, asked.open, asked.spread)
        figures = run_load(Path(folder), load, submit_s=asked.jobs / 100)
    sys.stdout.write(json.dumps(asdict(figures), indent=2) + "\n")
    sys.exit(figures.lag_p95_s > 2 * load.every_s)


if __name__ == "__main__":
    main()

"""A long run with random faults: see scripts/soak. The seed decides what is done; when it happens is up to the machine."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from relayhub.testing import Wait
from relayhub.testing.faults import Fault, FaultUpstream, answers, does, framing, pace, refusals, sizes
from tests.faults.asking import CHAT, ask, chat_body, connected, request_bytes
from tests.faults.bench import config, provider
from tests.faults.health import watched_health
from tests.faults.ledger import check_balances, check_ledger, new_key
from tests.faults.memory import MIB, open_files, resident_bytes
from tests.support.openai_wire import DONE, chunk, completion, error
from tests.support.server import Server, running

CLIENTS = 16
SAMPLES = 120
GROWTH_MIB_PER_H = 1.0
"""The promise, for runs of hours; shorter ones are mostly warm-up and are only reported."""

LONG_RUN_S = 2 * 3600
RESTS_S = 1.0
"""What an upstream that is busy says in Retry-After."""

SPARE = 8
"""Files and tasks more than at the beginning that are no leak: pooled connections, a timer."""

TASKS = """
import asyncio, pathlib
from contextlib import asynccontextmanager
from relayhub.sdk import hookimpl

async def report():
    while True:
        pathlib.Path("tasks").write_text(str(len(asyncio.all_tasks())))
        await asyncio.sleep(0.5)

@hookimpl
def relayhub_lifespan(hub):
    @asynccontextmanager
    async def lifespan():
        task = asyncio.create_task(report())
        yield
        task.cancel()
    return lifespan()
"""

EVENTS = [chunk("m", content=f"word {number} " * 20) for number in range(20)]
WHOLE = answers.whole(completion("m"))
STREAM = answers.streamed(*EVENTS, chunk("m", finish="stop"), DONE)
BROKEN = error("it broke", type_="server_error")


def random_fault(dice: random.Random, *, stream: bool) -> Fault:
    """Half of all calls go well."""
    good = STREAM if stream else WHOLE
    if dice.random() < 0.5:
        return does(good)
    return dice.choice(
        [
            framing.reset_at(good, dice.randrange(len(good))),
            framing.ends_at(good, dice.randrange(len(good))),
            framing.bad_chunk_size(EVENTS[0]),
            framing.short_body(completion("m")),
            framing.not_http(),
            pace.silence(),
            pace.stalls_after(*EVENTS[: dice.randrange(1, 20)]),
            pace.slow_head(good, dice.random()),
            pace.endless_stream(EVENTS[0], every_s=0.01),
            does(answers.head(), Wait(dice.random()), answers.chunks(b"{}")),
            refusals.busy(BROKEN, f"{RESTS_S:g}"),
            refusals.refusal("500 Oops", BROKEN),
            refusals.redirect("http://127.0.0.1:1/"),
            sizes.long_header(completion("m")),
            sizes.long_line(EVENTS[0], size=4 * MIB),
        ]
    )


@dataclass
class Run:
    """``seen``: how calls ended. ``samples``: seconds, resident bytes, open files, tasks."""

    hub: Server
    key: str
    upstream: FaultUpstream
    ends_at: float
    seen: Counter[str] = field(default_factory=Counter)
    over: threading.Event = field(default_factory=threading.Event)
    samples: list[tuple[float, int, int, int]] = field(default_factory=list)

    def client(self, dice: random.Random) -> None:
        """Calls one after the other until the run is over, each with a fault of its own."""
        name = f"m-{dice.random()}"
        while time.monotonic() < self.ends_at:
            stream = dice.random() < 0.6
            self.upstream.program(name, random_fault(dice, stream=stream))
            ended = self.call(dice, name, stream=stream)
            self.seen[ended] += 1
            self.upstream.forget()
            if ended in ("429", "503"):
                self.over.wait(RESTS_S)  # as clients do; without it they would ask for nothing else

    def call(self, dice: random.Random, name: str, *, stream: bool) -> str:
        body = chat_body(name, stream=stream)
        try:
            if dice.random() < 0.2:
                with connected(self.hub.url, timeout_s=dice.random()) as raw:
                    raw.sendall(request_bytes(CHAT, body, self.key))
                    raw.recv(dice.randrange(1, 4096))
                return "left"
            answer = ask(self.hub.url, "POST", CHAT, body, {"authorization": f"Bearer {self.key}"})
        except OSError:
            return "left"
        return str(answer.status) if not stream or answer.done or answer.status >= 400 else "error event"

    def sample(self) -> None:
        pid = self.hub.process.pid
        tasks = int((self.hub.home / "tasks").read_text() or 0)
        self.samples.append((time.monotonic(), resident_bytes(pid), open_files(pid), tasks))

    def slope_mib_per_h(self) -> float:
        """By least squares over the second half, when everything is warm."""
        half = self.samples[len(self.samples) // 2 :]
        middle_s = sum(at for at, *_ in half) / len(half)
        middle = sum(size for _, size, *_ in half) / len(half)
        spread = sum((at - middle_s) ** 2 for at, *_ in half) or 1.0
        return sum((at - middle_s) * (size - middle) for at, size, *_ in half) / spread * 3600 / MIB


@contextmanager
def started(minutes: float) -> Iterator[Run]:
    upstream = FaultUpstream()
    with tempfile.TemporaryDirectory() as folder, upstream.in_thread():
        home = Path(folder)
        (home / "plugins").mkdir()
        (home / "plugins" / "tasks.py").write_text(TASKS)
        text = config({"up": provider(upstream.url)}, plugins={"dirs": ["plugins"]}, logging={"level": "error"})
        with running(home, text) as hub:
            yield Run(hub, new_key(hub, "soak"), upstream, time.monotonic() + minutes * 60)


def soak(minutes: float, seed: int) -> list[str]:
    """What went wrong."""
    with started(minutes) as run:
        hub = run.hub
        hub.wait_until(lambda: (hub.home / "tasks").exists(), within_s=10)
        run.sample()
        threads = [threading.Thread(target=run.client, args=(random.Random(f"{seed}-{n}"),)) for n in range(CLIENTS)]
        with watched_health(hub):
            for thread in threads:
                thread.start()
            while any(thread.is_alive() for thread in threads):
                threads[0].join(minutes * 60 / SAMPLES)
                run.sample()
        hub.wait_until(lambda: open_files(hub.process.pid) <= run.samples[0][2] + SPARE, within_s=30)
        hub.wait_until(lambda: int((hub.home / "tasks").read_text() or 0) <= run.samples[0][3] + SPARE, within_s=30)
        run.sample()
        check_balances(hub)
        check_ledger(hub)
        return report(run, minutes * 60)


def report(run: Run, seconds: float) -> list[str]:
    first, last, slope = run.samples[0], run.samples[-1], run.slope_mib_per_h()
    counters = run.upstream.total
    lines = [
        f"calls            {sum(run.seen.values())}: {dict(run.seen.most_common())}",
        f"upstream         {counters.requests} requests, {counters.executions} executions, {counters.aborts} aborts",
        f"memory           {first[1] / MIB:.1f} → {last[1] / MIB:.1f} MiB, slope of the second half {slope:+.2f} MiB/h",
        f"open files       {first[2]} → {last[2]}, at most {max(files for _, _, files, _ in run.samples)}",
        f"tasks            {first[3]} → {last[3]}, at most {max(tasks for *_, tasks in run.samples)}",
        "ledger           exact, no hold left",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    grows = seconds >= LONG_RUN_S and slope > GROWTH_MIB_PER_H
    return [f"memory grows by {slope:.2f} MiB/h, more than {GROWTH_MIB_PER_H}"] if grows else []


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/soak", description="The real program under load with random faults.")
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--hours", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args(arguments)
    problems = soak(asked.minutes if not asked.hours else asked.hours * 60, asked.seed)
    sys.stdout.write("".join(f"{problem}\n" for problem in problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

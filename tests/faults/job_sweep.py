"""Random kills of a hub that makes videos: see scripts/sweep. The seed decides what is asked for, what goes wrong, and when
the hub dies; what else happens at that moment is up to the machine."""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from relayhub.store.steps import STEPS
from relayhub.testing import Cut, Fate, Fault, JobStep, Wait
from tests.support.job_crashes import CONFIG, FAILING, NEVER, WAITING, Client, Stage, Studio, template
from tests.support.server import Server

HUBS = 4
"""Side by side; each goes on with its own database and upstream from one run to the next."""
LEAVES_AFTER_S = 0.3
WITHIN_S = 3.0
MOST_TRANSACTIONS = 12

SUBMIT_FAULTS = (
    Fault(429),
    Fault(503),
    Fault(400),
    Fault(500),
    Fault(502),
    Fault(Cut()),
    Fault(Wait(0.5), executed=True),
)
TAKEN_FAULTS = (Fault(500, executed=True), Fault(504, executed=True), Fault(Cut(), executed=True))
LATER_FAULTS = (
    Fault(500, JobStep.POLL),
    Fault(429, JobStep.POLL),
    Fault(Cut(), JobStep.POLL),
    Fault(Wait(0.5), JobStep.POLL),
    Fault(503, JobStep.LIST),
    Fault(Cut(), JobStep.LIST),
    Fault(500, JobStep.FETCH),
    Fault(Cut(), JobStep.FETCH),
    Fault(Wait(0.5), JobStep.FETCH),
)


@dataclass
class Tally:
    """``ended``: jobs by how they ended; ``wrong``: what must not be, with the run it was found after."""

    runs: int = 0
    requests: int = 0
    left: int = 0
    executed: int = 0
    unanswered: int = 0
    killed: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


@dataclass
class Sweep:
    """One hub, and one run after the other. ``lock`` guards the tally of all."""

    stage: Stage
    dice: random.Random
    tally: Tally
    lock: threading.Lock

    def go(self, first: int, runs: int) -> None:
        """Each start looks after what the last kill left, and is killed in its turn; the last one is not."""
        before: list[str] = []
        for run in range(first, first + runs + 1):
            self.release()
            with self.stage.hub() as server:
                self.recover(server, before, run - 1)
                before = self.run(server, run) if run < first + runs else []

    # --- one run --------------------------------------------------------------------------------------------------------

    def run(self, server: Server, number: int) -> list[str]:
        prompts = [f"run {number}, film {index}" for index in range(self.dice.randint(1, 5))]
        self.plan(len(prompts))
        ending = self.doom(server)
        clients = [threading.Thread(target=self.ask, args=(server, prompt, self.dice.random())) for prompt in prompts]
        for client in (*clients, ending):
            client.start()
        for client in (*clients, ending):
            client.join()
        with suppress(subprocess.TimeoutExpired):
            server.process.wait(WITHIN_S)
        how = "at a step" if server.process.poll() is not None else "at last"
        server.kill()
        with self.lock:
            self.tally.runs += 1
            self.tally.requests += len(prompts)
            self.tally.killed[how if ending.name == "step" else "at a moment"] += 1
            self.tally.unanswered += sum(prompt not in self.stage.client.promised for prompt in prompts)
        return prompts

    def plan(self, jobs: int) -> None:
        """How the jobs of this run go, and what goes wrong."""
        studio, dice = self.stage.studio, self.dice
        studio.calm()
        studio.foretell(*(self.fate() for _ in range(jobs)))
        for faults, often in ((SUBMIT_FAULTS, 0.3), (TAKEN_FAULTS, 0.3), (LATER_FAULTS, 0.5)):
            if dice.random() < often:
                studio.inject(*dice.sample(faults, k=dice.randint(1, 2)))
        studio.stalled = dice.random() < 0.1

    def fate(self) -> Fate:
        usual = Fate(queue_s=self.dice.uniform(0, 1), run_s=self.dice.uniform(0, 2))
        return self.dice.choice((NEVER, usual, usual, FAILING, WAITING if self.dice.random() < 0.3 else usual))

    def doom(self, server: Server) -> threading.Thread:
        """Half of the kills come at a step of the ledger, half at any time."""
        if self.dice.random() < 0.5:
            step, number = self.dice.choice(STEPS), self.dice.randint(1, MOST_TRANSACTIONS)
            self.stage.order(f"SIGKILL {step}:{number}")
            return threading.Thread(name="step")
        return threading.Timer(self.dice.uniform(0, WITHIN_S), server.process.kill)

    def ask(self, server: Server, prompt: str, luck: float) -> None:
        """Some leave before their answer, some cancel, and most wait."""
        client = self.stage.client
        if luck < 0.2:
            with self.lock:
                self.tally.left += 1
            with suppress(OSError):
                client.leave_submit(server, prompt, lambda: time.sleep(luck / 0.2 * LEAVES_AFTER_S))
            return
        client.submit(server, prompt)
        if luck > 0.85 and prompt in client.promised:
            client.send(server, "DELETE", f"/v1/videos/{client.promised[prompt]}")

    # --- afterwards -----------------------------------------------------------------------------------------------------

    def recover(self, server: Server, prompts: Sequence[str], run: int) -> None:
        """Whoever has no answer asks again; then everything must have ended, as it should."""
        stage, client = self.stage, self.stage.client
        try:
            for _ in range(2):
                for prompt in prompts:
                    if prompt not in client.promised:
                        client.submit(server, prompt)
                stage.all_ended(server)
            wrong = stage.problems(server, list(prompts))
        except AssertionError as error:
            rows = server.rows("SELECT id, state, next_at, poll_errors FROM jobs WHERE finished_at IS NULL")
            wrong = [f"{error}: {rows}"]
        with self.lock:
            self.tally.wrong += [f"after run {run}: {what}" for what in wrong]
            for prompt in prompts:
                made = stage.studio.made_for(prompt)
                self.tally.executed += len(made)
                self.tally.ended[stage.studio.state(made[0]).value if made else "never executed"] += 1

    def release(self) -> None:
        """Nothing goes wrong any more, and nothing waits for ever."""
        studio = self.stage.studio
        studio.calm()
        for job in list(studio.jobs.values()):
            if job.fate is WAITING:
                job.fate = NEVER


def sweep(folder: Path, runs: int, seed: int) -> Tally:
    tally, lock = Tally(), threading.Lock()
    key = template(folder / "template")
    with ExitStack() as stack, ThreadPoolExecutor(HUBS) as pool:
        sweeps: list[Sweep] = []
        for number in range(min(HUBS, runs)):
            home = folder / str(number)
            shutil.copytree(folder / "template", home)
            studio = Studio()
            url = stack.enter_context(studio.in_thread())
            stage = Stage(home, studio, CONFIG.format(url=url, first_s=1), Client(key))
            sweeps.append(Sweep(stage, random.Random(f"{seed} {number}"), tally, lock))
        shares = [len(range(number, runs, len(sweeps))) for number in range(len(sweeps))]
        for done in [
            pool.submit(one.go, number * runs, share)
            for number, (one, share) in enumerate(zip(sweeps, shares, strict=True))
        ]:
            done.result()
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=int, nargs="?", default=20)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    asked = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        tally = sweep(Path(folder), asked.runs, asked.seed)
    print_summary(tally, asked.seed, time.monotonic() - began)
    sys.exit(1 if tally.wrong else 0)


def print_summary(tally: Tally, seed: int, took_s: float) -> None:
    lines = [
        f"seed {seed}: {tally.runs} runs in {took_s:.0f} s, each ended by SIGKILL: {dict(tally.killed)}",
        f"requests: {tally.requests}; {tally.left} clients left early; {tally.unanswered} had no answer and asked again",
        f"executions: {tally.executed}, at most one for each request; how they ended: {dict(tally.ended)}",
        f"wrong: {len(tally.wrong)}",
        *tally.wrong,
    ]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

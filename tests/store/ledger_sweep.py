"""Mixed calls from several processes on one file, some of which are killed, and the equations of the books checked every
10 ms meanwhile: see scripts/sweep."""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from relayhub.accounts.code_text import hash_code
from relayhub.accounts.codes import issue_codes
from relayhub.accounts.issuing import issue_key
from relayhub.sdk.clock import SystemClock
from relayhub.store.audit import SYSTEM
from relayhub.store.codes import NewBatch
from relayhub.store.jobs import JobFilter
from relayhub.store.store import Store
from relayhub.types.key_limits import NO_LIMITS, KeyLimits
from tests.store.watch import EVERY_S, Watch
from tests.support.limited import OPEN, used

ROOT = Path(__file__).parent.parent.parent
CODES, CODE_NANO = 400, 700
ALIVE_S = 5.0
"""A process that is to be killed is killed within so many seconds of the last kill."""

LIMITS: dict[str, KeyLimits] = {
    "plain": NO_LIMITS,
    "slots": KeyLimits(concurrent_calls=6, jobs_in_flight=2),
    "windows": KeyLimits(requests_per_minute=2000, tokens_per_minute=40_000, spend_per_day_nano=10_000_000),
}


@dataclass
class Caller:
    """A process, and what it was told to do. ``reported``: how many calls it has said it made."""

    process: subprocess.Popen[str]
    calls: int
    reported: int = 0


@dataclass
class Sweep:
    """``path``: of the database. ``done``: what the processes said, at least: the last words of a killed one are lost."""

    path: Path
    codes: Path
    seed: int
    calls: int
    kills: int
    callers: int
    done: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    killed: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _alive: list[Caller] = field(default_factory=list)
    _started: int = 0

    def run(self, watch: Watch) -> None:
        share = -(-self.calls // self.callers)
        with ThreadPoolExecutor(self.callers + 1) as pool:
            calling = [pool.submit(self._keep_calling, share) for _ in range(self.callers)]
            killing = pool.submit(self._kill, calling)
            watch.until(lambda: all(one.done() for one in calling))
            for one in (*calling, killing):
                one.result()

    def _keep_calling(self, calls: int) -> None:
        """One process after the other, until so many calls were made."""
        while calls > 0:
            with self._lock:
                self._started += 1
                arguments = [str(self.path), str(calls), f"{self.seed}.{self._started}", str(self.codes)]
                command = [sys.executable, "-m", "tests.store.mixed_calls", *arguments]
                process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                caller = Caller(process, calls)
                self._alive.append(caller)
            self._listen(caller)
            calls -= caller.reported if process.returncode == -9 else calls

    def _listen(self, caller: Caller) -> None:
        process = caller.process
        assert process.stdout is not None
        assert process.stderr is not None
        with process:
            for line in process.stdout:
                if not (line.startswith("{") and line.endswith("\n")):
                    continue  # of its log, or killed while it wrote
                said: Counter[str] = Counter(json.loads(line))
                with self._lock:
                    caller.reported += said.total()
                    self.done += said
            errors = process.stderr.read()
        with self._lock:
            self._alive.remove(caller)
            if process.returncode not in (0, -9):
                self.wrong.append(f"a process ended with {process.returncode}: {errors[-500:]}")

    def _kill(self, callers: Sequence[Future[None]]) -> None:
        """Those that have begun to call, one after the other, at moments that differ."""
        dice, over = random.Random(self.seed), threading.Event()
        while self.killed < self.kills and not all(one.done() for one in callers):
            over.wait(dice.uniform(0, ALIVE_S / self.callers))
            with self._lock:
                calling = [one for one in self._alive if 0 < one.reported < one.calls]
                if calling:
                    dice.choice(calling).process.kill()
                    self.killed += 1


async def prepare(path: Path, codes: Path) -> None:
    """Accounts that run dry, one that does not, and keys with every kind of limit."""
    store = await Store.open(path, durability="process", clock=SystemClock())
    for name, unlimited in (("rich", False), ("poor", False), ("endless", True)):
        account = (await store.accounts.create(name, unlimited=unlimited)).id
        await store.ledger.grant(account, 10**9 if name == "rich" else 5000, actor="sweep", reason="to begin with")
        for kind, limits in LIMITS.items():
            await issue_key(store.keys, f"{name}-{kind}", account, limits=limits)
        await issue_key(store.keys, f"{name}-own", account, limit_nano=20_000_000)
    new = NewBatch("sweep", "SWEEP", CODE_NANO, 2, None)
    issued = await issue_codes(store.codes, new, CODES, SYSTEM)
    codes.write_text(json.dumps([hash_code(code) for code in issued.codes]))
    await store.close()


async def finish(path: Path) -> list[str]:
    """Whoever comes next cleans up: afterwards only jobs hold anything, and they can still be ended. What is wrong."""
    store = await Store.open(path, durability="process", clock=SystemClock())
    try:
        jobs = await store.jobs.some(JobFilter(only_open=True), 1000)
        ended = [await store.jobs.finish(job, OPEN, {"state": "failed"}, used(0, 0), charge=False) for job in jobs]
        wrong = [] if all(ended) else [f"jobs of the dead cannot be ended: {ended}"]
        accounts = await store.accounts.all()
        wrong += [f"{one.name} still holds {one.balance.held_nano}" for one in accounts if one.balance.held_nano]
        return wrong + [str(violation) for violation in await store.ledger.check()]
    finally:
        await store.close()


def sweep(folder: Path, calls: int, *, callers: int, kills: int, seed: int) -> tuple[Sweep, Watch]:
    path, codes = folder / "books.db", folder / "codes.json"
    asyncio.run(prepare(path, codes))
    going = Sweep(path, codes, seed, calls, kills, callers)
    watch = Watch.of(path)
    try:
        going.run(watch)
        going.wrong += asyncio.run(finish(path))
        watch.look()
    finally:
        watch.close()
    going.wrong += watch.wrong
    going.wrong += [f"{number} times {what}" for what, number in going.done.items() if what.startswith("trouble")]
    return going, watch


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/sweep ledger", description=__doc__)
    parser.add_argument("calls", type=int, nargs="?", default=10_000)
    parser.add_argument("--callers", type=int, default=4, help="Processes side by side.")
    parser.add_argument(
        "--kills", type=int, help="How many of them are killed; one in 10 000 calls, if it is not said."
    )
    parser.add_argument("--seed", type=int, default=int(time.time()))
    asked = parser.parse_args()
    kills = asked.calls // 10_000 if asked.kills is None else asked.kills
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        going, watch = sweep(Path(folder), asked.calls, callers=asked.callers, kills=kills, seed=asked.seed)
    print_summary(going, watch, time.monotonic() - began)
    sys.exit(1 if going.wrong else 0)


def print_summary(going: Sweep, watch: Watch, took_s: float) -> None:
    gaps = sorted(watch.gaps_s)
    late = sum(gap > 2 * EVERY_S for gap in gaps)
    calls, median_ms, most_ms = going.done.total(), statistics.median(gaps) * 1000, gaps[-1] * 1000
    lines = [
        f"seed {going.seed}: {calls} calls in {took_s:.0f} s; {going.callers} processes at a time, {going.killed} killed",
        f"done: {dict(going.done.most_common())}",
        f"looks at the books: {watch.looks}, {median_ms:.1f} ms apart in the median, {most_ms:.0f} ms at most",
        f"looks later than twice the interval: {late}; ends of holds seen: {watch.ends}",
        f"wrong: {len(going.wrong)}",
        *going.wrong[:50],
    ]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

"""One of several processes that write to one ledger as fast as they can: ``python -m tests.running.writing_child FILE KEY
ACCOUNT CALLERS SECONDS DURABILITY``. Begins at a word on stdin, so that all begin together, and prints what it came to as
JSON."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from relayhub.sdk.clock import SystemClock
from relayhub.store.intents import NewHold
from relayhub.store.store import Store
from tests.support.books import ABOUT, record


def quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def main(path: Path, key_id: str, account_id: str, callers: int, seconds: float, durability: str) -> None:
    steps: Counter[str] = Counter()  # told from the writer's thread
    count = steps.update
    store = await Store.open(path, durability=durability, clock=SystemClock(), on_step=lambda step: count((step,)))
    holds_s: list[float] = []

    async def caller() -> None:
        new = NewHold("req_1", key_id, account_id, 10, ABOUT)
        while time.monotonic() < until:
            asked = time.monotonic()
            hold = await store.ledger.hold(new)
            holds_s.append(time.monotonic() - asked)
            await store.ledger.settle(hold, record(cost_nano=1))

    say("ready")
    await asyncio.to_thread(sys.stdin.readline)
    steps.clear()
    until = time.monotonic() + seconds
    await asyncio.gather(*(caller() for _ in range(callers)))
    told = {
        "commits": steps["after_commit"],
        "holds": len(holds_s),
        "hold_p50_s": quantile(holds_s, 0.5),
        "hold_p99_s": quantile(holds_s, 0.99),
        "cpu_s": time.process_time(),
    }
    await store.close()
    say(json.dumps(told))


if __name__ == "__main__":
    file, key, account, callers_, seconds_, durability_ = sys.argv[1:]
    asyncio.run(main(Path(file), key, account, int(callers_), float(seconds_), durability_))

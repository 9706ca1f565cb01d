"""Run by the sweep: works with the ledger and kills itself at one step. Arguments: database, step, nth time."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from relayhub.sdk.clock import SystemClock
from relayhub.store.intents import NewHold
from relayhub.store.store import Store
from tests.support.books import ABOUT, record


async def main(path: Path, key_id: str, account_id: str, step: str, nth: int) -> None:
    seen = 0

    def on_step(name: str) -> None:
        nonlocal seen
        seen += name == step
        if name == step and seen == nth:
            os.kill(os.getpid(), signal.SIGKILL)

    store = await Store.open(path, durability="process", clock=SystemClock(), on_step=on_step)
    for number in range(3):
        hold = await store.ledger.hold(NewHold(f"req_{number}", key_id, account_id, 100, ABOUT))
        print(f"executed {number}", flush=True)
        await store.ledger.settle(hold, record(f"req_{number}", cost_nano=40))
        print(f"delivered {number}", flush=True)
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5])))

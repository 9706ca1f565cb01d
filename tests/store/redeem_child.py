"""Run by the sweep: redeems codes and kills itself at one step. Arguments: database, account, step, nth time, hashes of
codes. Each redemption that was acknowledged is a line of output."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

from relayhub.sdk.clock import SystemClock
from relayhub.store.audit import Actor
from relayhub.store.store import Store
from relayhub.types.errors import ClientError


async def main(path: Path, account_id: str, step: str, nth: int, hashes: list[str]) -> None:
    seen = 0

    def on_step(name: str) -> None:
        nonlocal seen
        seen += name == step
        if name == step and seen == nth:
            os.kill(os.getpid(), signal.SIGKILL)

    store = await Store.open(path, durability="process", clock=SystemClock(), on_step=on_step)
    for code_hash in hashes:
        with contextlib.suppress(ClientError):  # redeemed before the process was killed the last time
            await store.ledger.redeem(code_hash, account_id, key_id=None, by=Actor("test"))
            sys.stdout.write("added\n")
            sys.stdout.flush()
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5:]))

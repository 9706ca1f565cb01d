"""Several processes on one file take turns: nobody meets a lock, and together they never overdraw."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from relayhub.store.epoch import Epoch
from relayhub.store.intents import HoldAbout
from relayhub.store.process import ProcessIdentity
from relayhub.types.call import Outcome
from tests.support.books import open_books

ROOT = Path(__file__).parent.parent.parent

CHILD = """
import asyncio, sys
from pathlib import Path
from relayhub.sdk.clock import SystemClock
from relayhub.store.intents import NewHold
from relayhub.store.store import Store
from relayhub.types.errors import ClientError
from tests.support.books import ABOUT, record

async def one(store, n):
    try:
        hold = await store.ledger.hold(NewHold(f"req_{n}", sys.argv[2], sys.argv[3], 10, ABOUT))
    except ClientError as error:
        return error.code
    await store.ledger.settle(hold, record(f"req_{n}", cost_nano=10))
    return "ok"

async def main():
    store = await Store.open(Path(sys.argv[1]), durability="power", clock=SystemClock())
    for n in range(0, 200, 20):
        for result in await asyncio.gather(*(one(store, n + i) for i in range(20))):
            print(result)
    await store.close()

asyncio.run(main())
"""


async def test_three_processes_spend_exactly_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "books.db"
    async with open_books(path, total=3000) as books:
        arguments = [sys.executable, "-c", CHILD, str(path), books.issued.key.id, books.account_id]
        children = [
            await asyncio.create_subprocess_exec(*arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            for _ in range(3)
        ]
        results = await asyncio.wait_for(asyncio.gather(*(child.communicate() for child in children)), 60)
        assert [child.returncode for child in children] == [0, 0, 0], results
        said = b"".join(out for out, _ in results).split()
        assert (said.count(b"ok"), said.count(b"insufficient_quota"), len(said)) == (300, 300, 600)
        assert await books.money() == (3000, 3000, 0)
        assert await books.store.ledger.check() == []


def test_only_the_dead_lose_their_holds() -> None:
    me = ProcessIdentity.current()
    epoch = Epoch("epoch_1", me, lease_s=60)
    now = 1000.0

    def judged(host: str, boot: str, pid: int, started: str, lease_until: float) -> bool:
        return epoch.finds_dead(("epoch_2", host, boot, pid, started, lease_until), now)

    assert not judged(me.host, me.boot_id, me.pid, me.started, 0), "alive, whatever its lease says"
    assert judged(me.host, me.boot_id, me.pid, "another start", now + 60), "the pid was given away again"
    assert judged(me.host, "another boot", me.pid, me.started, now + 60), "the machine was restarted"
    assert judged("elsewhere", "b", 1, "", now - 1), "far away and silent"
    assert not judged("elsewhere", "b", 1, "", now + 1), "far away and within its lease"
    assert not epoch.finds_dead(("epoch_1", "elsewhere", "b", 1, "", 0), now), "oneself"


def test_what_a_hold_knows_is_enough_for_a_usage_row() -> None:
    about = HoldAbout("chat", "openai.chat", "m", "p", "up", True, "free", "user-1")
    row = about.uncharged(Outcome.LOST, call_id="c", account_id="a", key_id="k", at=5.0)
    assert (row.outcome, row.cost_nano, row.model, row.user_identifier) == (Outcome.LOST, 0, "m", "user-1")

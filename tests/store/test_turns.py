"""Several writers on one file: whoever waits gets its turn, and nobody is told that the database is locked."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.books import open_books

ROOT = Path(__file__).parent.parent.parent
PROCESSES, CYCLES = 8, 50
WRITES = 10
HELD_S, GAP_S = 0.06, 0.004


@dataclass
class Greedy:
    """Somebody who hardly lets go of the file, and takes it back as soon as it is free. ``gaps``: how often they let go."""

    path: Path
    gaps: int = 0
    held: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        with closing(sqlite3.connect(self.path, isolation_level=None, timeout=0)) as connection:
            while not self.over.is_set():
                if self._begins(connection):
                    self.held.set()
                    self.over.wait(HELD_S)
                    self.held.clear()
                    connection.execute("COMMIT")
                    self.gaps += 1
                self.over.wait(GAP_S)

    def _begins(self, connection: sqlite3.Connection) -> bool:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        return True


@contextmanager
def greedy(path: Path) -> Iterator[Greedy]:
    somebody = Greedy(path)
    holding = threading.Thread(target=somebody.run)
    holding.start()
    try:
        yield somebody
    finally:
        somebody.over.set()
        holding.join()


async def test_a_write_beside_the_ledger_takes_one_of_the_first_turns(tmp_path: Path) -> None:
    """SQLite's own waiting looks ten times a second, and misses nearly all of them."""
    path = tmp_path / "books.db"
    async with open_books(path) as books:
        with greedy(path) as somebody:
            for name in range(WRITES):
                assert await asyncio.to_thread(somebody.held.wait, 10)
                await books.store.accounts.create(f"account {name}", unlimited=False)
        assert somebody.gaps <= 12 * WRITES


CHILD = """
import asyncio, json, sys
from collections import Counter
from pathlib import Path
from relayhub.sdk.clock import SystemClock
from relayhub.store.audit import SYSTEM
from relayhub.store.keys import KeyTerms
from relayhub.store.store import Store
from tests.support.books import ABOUT, record
from relayhub.store.intents import NewHold

path, name, key, account, cycles = sys.argv[1:]

async def cycle(store, n):
    # Both ways to write: what was read first decides what is written, in the ledger's transaction and beside it.
    before = await store.keys.get(key)
    await store.keys.update(key, KeyTerms("key", None, None, 2e9, tags=tuple({*before.tags, name})), SYSTEM)
    hold = await store.ledger.hold(NewHold(f"req_{name}_{n}", key, account, 10, ABOUT))
    await store.ledger.settle(hold, record(cost_nano=3))
    await store.usage_rollups.roll_up()

async def main():
    store = await Store.open(Path(path), durability="power", clock=SystemClock())
    said = Counter()
    for n in range(int(cycles)):
        try:
            await cycle(store, n)
            said["ok"] += 1
        except Exception as error:
            said[f"{type(error).__name__}: {error}"] += 1
    await store.close()
    print(json.dumps(said))

asyncio.run(main())
"""


@pytest.mark.timeout(200)
async def test_eight_processes_read_and_write_in_turn_and_none_meets_a_lock(tmp_path: Path) -> None:
    path = tmp_path / "books.db"
    async with open_books(path, total=100_000) as books:
        arguments = [books.issued.key.id, books.account_id, str(CYCLES)]
        children = [
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", CHILD, str(path), f"p{number}", *arguments),
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            for number in range(PROCESSES)
        ]
        results = await asyncio.wait_for(asyncio.gather(*(child.communicate() for child in children)), 150)
        said: Counter[str] = Counter()
        for out, errors in results:
            assert out, errors
            said += Counter(json.loads(out.splitlines()[-1]))
        assert said == {"ok": PROCESSES * CYCLES}
        assert await books.money() == (100_000, 3 * PROCESSES * CYCLES, 0)
        assert await books.store.ledger.check() == []

"""A transaction of one hold or one end goes a shorter way, and says the same in the database."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from relayhub.store.audit import SYSTEM
from relayhub.store.call_batch import CallBatch
from relayhub.types.errors import ClientError, HubError
from relayhub.types.key_limits import KeyLimits
from tests.support.limited import Limited, open_limited

WRITTEN = {
    "accounts": "total_nano, used_nano, held_nano",
    "keys": "used_nano, held_nano",
    "holds": "hold_id, call_id, amount_nano, epoch_id = 'jobs', tokens, windows, created_at",
    "ledger": "id, at, kind, account_id, key_id, hold_id, call_id, amount_nano, actor, reason",
    "usage": "*",
    "key_windows": "window, starts_at, amount",
}
SOME = KeyLimits(requests_per_minute=9, tokens_per_minute=900, concurrent_calls=4)
ALL = replace(SOME, jobs_in_flight=2, video_seconds_per_day=60, spend_per_day_nano=90_000)


@dataclass
class Trouble:
    """A transaction that comes to nothing at this step, once."""

    at: str = ""
    error: Exception | None = None

    def on_step(self, name: str) -> None:
        if name == self.at and self.error is not None:
            self.at = ""
            raise self.error


@dataclass
class Story:
    """The same for the same seed. ``heard``: what each caller was told, and what the database said then."""

    books: Limited
    trouble: Trouble
    path: Path
    chance: random.Random
    calls: list[int]
    jobs: list[int]
    heard: list[str]

    async def go_on(self, chapters: int) -> None:
        for _ in range(chapters):
            await self.chance.choices(
                (
                    self.hold,
                    self.end,
                    self.release,
                    self.job,
                    self.end_job,
                    self.many,
                    self.wait,
                    self.fail,
                    self.beside,
                ),
                (30, 30, 5, 4, 4, 4, 8, 3, 3),
            )[0]()
            self.heard.extend(self.rows())

    def rows(self) -> list[str]:
        key = self.books.key.key
        with closing(sqlite3.connect(self.path)) as connection:
            rows = [
                f"{table}: {row}"
                for table, columns in WRITTEN.items()
                for row in connection.execute(f"SELECT {columns} FROM {table}")
            ]
        return [row.replace(key.account_id, "ACCOUNT").replace(key.id, "KEY") for row in rows]

    async def hold(self) -> None:
        try:
            self.calls.append(await self.books.call(self.chance.randrange(9_000), tokens=self.chance.randrange(120)))
            self.heard.append(str(self.calls[-1]))
        except (ClientError, HubError) as error:
            self.heard.append(error.code)

    async def end(self) -> None:
        if self.calls:
            hold = self.calls.pop(self.chance.randrange(len(self.calls)))
            cost, tokens = self.chance.randrange(9_000), self.chance.randrange(150)
            self.heard.append(str(await self.books.end(hold, cost, tokens=tokens)))
            if self.chance.random() < 0.1:
                self.heard.append(str(await self.books.end(hold, cost)))

    async def release(self) -> None:
        if self.calls:
            self.heard.append(str(await self.books.store.ledger.release(self.calls.pop(), None)))

    async def job(self) -> None:
        try:
            self.jobs.append(await self.books.job(self.chance.randrange(500)))
        except (ClientError, HubError) as error:
            self.heard.append(error.code)

    async def end_job(self) -> None:
        if self.jobs:
            await self.books.end_job(self.jobs.pop(), self.chance.randrange(500))

    async def many(self) -> None:
        await asyncio.gather(self.hold(), self.hold(), self.end())

    async def wait(self) -> None:
        """Or the clock is set back."""
        self.books.clock.advance(self.chance.choice((1, 20, 61, 86_400)))
        if self.chance.random() < 0.3:
            self.books.clock.advance(-self.chance.choice((5, 70, 90_000)))

    async def fail(self) -> None:
        self.trouble.error = self.chance.choice((sqlite3.OperationalError("disk I/O error"), ValueError("a bad item")))
        self.trouble.at = self.chance.choice(("after_decide", "after_ledger", "before_commit"))
        await self.hold()

    async def beside(self) -> None:
        """Another process."""
        with closing(sqlite3.connect(self.path, timeout=10)) as connection, connection:
            connection.execute("UPDATE keys SET limit_nano = ?", (self.chance.choice((None, 400_000)),))


async def told(path: Path, seed: int, limits: KeyLimits, *, unlimited: bool) -> list[str]:
    trouble = Trouble()
    async with open_limited(path, limits, total=90_000, on_step=trouble.on_step) as books:
        if unlimited:
            await books.store.accounts.update(books.key.key.account_id, name=None, unlimited=True, by=SYSTEM)
        story = Story(books, trouble, path, random.Random(seed), [], [], [])
        await story.go_on(80)
    return story.heard


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("unlimited", [False, True], ids=["granted", "unlimited"])
@pytest.mark.parametrize("limits", [KeyLimits(), SOME, ALL], ids=["free", "some", "all"])
async def test_what_is_written_alone_is_what_a_batch_would_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, unlimited: bool, limits: KeyLimits
) -> None:
    """Beside failures, other writers, clocks that go back, jobs, refusals and windows that end."""
    alone = CallBatch.alone
    short: list[bool] = []

    def counted(batch: CallBatch, *given: Any) -> Any:
        short.append((answer := alone(batch, *given)) is not None)
        return answer

    monkeypatch.setattr(CallBatch, "alone", counted)
    as_it_is = await told(tmp_path / "alone.db", seed, limits, unlimited=unlimited)
    assert sum(short) > len(short) / 4
    monkeypatch.setattr(CallBatch, "alone", lambda *_: None)
    assert as_it_is == await told(tmp_path / "batch.db", seed, limits, unlimited=unlimited)

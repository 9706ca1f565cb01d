"""A key with limits on a real store."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
from msgspec import structs

from relayhub.accounts.issuing import IssuedKey, issue_key
from relayhub.sdk.clock import Clock
from relayhub.store.intents import NewHold, OpenHold, Settled
from relayhub.store.steps import no_step
from relayhub.store.store import Store
from relayhub.store.windows import UTC_CALENDAR, Calendar
from relayhub.testing import FakeClock
from relayhub.types.call import UsageRecord
from relayhub.types.errors import ClientError
from relayhub.types.job import TERMINAL, Job
from relayhub.types.key_limits import KeyLimits
from relayhub.types.media import JobState, MediaKind, MediaUsage
from relayhub.types.usage import Usage
from tests.support.books import ABOUT, record

OPEN = frozenset(JobState) - TERMINAL


@dataclass
class Limited:
    store: Store
    clock: FakeClock
    key: IssuedKey
    jobs: dict[int, Job] = field(default_factory=dict)
    calls: int = 0

    def new(self, amount: int = 0, tokens: int = 0, video_ms: int = 0) -> NewHold:
        self.calls += 1
        key = self.key.key
        return NewHold(f"req_{self.calls}", key.id, key.account_id, amount, ABOUT, tokens, video_ms)

    async def call(self, amount: int = 0, *, tokens: int = 0) -> int:
        return await self.store.ledger.hold(self.new(amount, tokens))

    async def end(self, hold_id: int, cost: int = 0, *, tokens: int = 0) -> Settled:
        return await self.store.ledger.settle(hold_id, used(cost, tokens))

    async def job(self, amount: int = 0, *, video_ms: int = 0) -> int:
        """Its hold."""
        new = self.new(amount, video_ms=video_ms)
        job = a_job(new, self.clock.now())
        about = msgspec.json.encode(new.about).decode()
        opened = await self.store.jobs.open(OpenHold(new, about), job, b"{}")
        self.jobs[opened.hold_id] = replace(job, hold_id=opened.hold_id)
        return opened.hold_id

    async def end_job(self, hold_id: int, cost: int = 0, *, video_ms: int | None = 0) -> None:
        """``video_ms`` ``None``: it failed, and is not charged."""
        job = self.jobs.pop(hold_id)
        state = JobState.FAILED if video_ms is None else JobState.SUCCEEDED
        media = None if video_ms is None else MediaUsage(video_ms=video_ms)
        await self.store.jobs.finish(
            job, OPEN, {"state": state.value}, used(cost, 0, media), charge=video_ms is not None
        )

    async def admitted(self) -> int | None:
        """A hold, or ``None`` if there is no slot for it."""
        try:
            return await self.call(1)
        except ClientError as error:
            if error.code != "concurrent_calls_exceeded":
                raise
            return None

    async def refused(self, **asked: int) -> ClientError | None:
        """Why another call is refused now; if it is not, it is given back."""
        try:
            hold_id = await self.call(**asked)
        except ClientError as error:
            return error
        await self.store.ledger.release(hold_id, None)
        return None

    async def burst(self, number: int, **asked: int) -> Counter[str]:
        """So many calls at once: how many were admitted, and how the rest were refused."""

        async def one() -> str:
            try:
                await self.call(**asked)
            except ClientError as error:
                return error.code
            return "ok"

        return Counter(await asyncio.gather(*(one() for _ in range(number))))


def used(cost: int, tokens: int, media: MediaUsage | None = None) -> UsageRecord:
    return structs.replace(record(cost_nano=cost), usage=Usage(tokens // 2, tokens - tokens // 2), media=media)


def a_job(new: NewHold, at: float) -> Job:
    return Job(
        id=f"job_{new.call_id}",
        call_id=new.call_id,
        kind=MediaKind.VIDEO,
        dialect="d",
        platform=None,
        account_id=new.account_id,
        key_id=new.key_id,
        user_identifier=None,
        model="m",
        provider="p",
        upstream_model="m-up",
        price="free",
        rates="{}",
        state=JobState.NEW,
        progress=0,
        seconds=None,
        usage=MediaUsage(),
        created_at=at,
        next_at=at,
    )


@asynccontextmanager
async def open_limited(
    path: Path,
    limits: KeyLimits,
    *,
    total: int = 1_000_000,
    clock: FakeClock | None = None,
    calendar: Calendar = UTC_CALENDAR,
    on_step: Callable[[str], None] = no_step,
) -> AsyncIterator[Limited]:
    clock = clock or FakeClock()
    store = await open_store(path, clock, calendar, on_step)
    try:
        account = await store.accounts.create("acme", unlimited=False)
        await store.ledger.grant(account.id, total, actor="test", reason="to begin with")
        yield Limited(store, clock, await issue_key(store.keys, "key", account.id, limits=limits))
        assert await store.ledger.check() == []
    finally:
        await store.close()


async def open_store(
    path: Path, clock: Clock, calendar: Calendar = UTC_CALENDAR, on_step: Callable[[str], None] = no_step
) -> Store:
    return await Store.open(path, durability="process", clock=clock, calendar=calendar, on_step=on_step)

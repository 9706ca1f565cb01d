"""Whatever order calls, jobs, ends and time come in: what is admitted is what a simple model of the limits admits."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from relayhub.store.windows import Window
from relayhub.testing import FakeClock
from relayhub.types.errors import ClientError
from relayhub.types.key_limits import KeyLimits
from tests.support.limited import open_limited

START = 1_790_000_040.0 - 1_790_000_040.0 % 86400
"""A midnight."""

maybe = st.none() | st.integers(1, 6)


@dataclass
class Open:
    amount: int
    tokens: int
    video_ms: int
    job: bool
    at: float


class Limits(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.loop = asyncio.new_event_loop()
        self.stack = AsyncExitStack()
        self.clock = FakeClock(START)
        self.open: dict[str, Open] = {}
        self.past: list[tuple[Window, float, int]] = []
        """What ended holds count for, in the windows of their beginning."""

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    @initialize(rpm=maybe, tpm=st.none() | st.integers(1, 300), calls=maybe, jobs=maybe, video=maybe, day=maybe)
    def begin(
        self, rpm: int | None, tpm: int | None, calls: int | None, jobs: int | None, video: int | None, day: int | None
    ) -> None:
        per_day = None if day is None else day * 50
        self.limits = KeyLimits(None, None, rpm, tpm, calls, jobs, video, per_day, 500)
        opening = open_limited(Path(self.folder.name) / "b.db", self.limits, clock=self.clock)
        self.key = self.run(self.stack.enter_async_context(opening))

    def spent(self, window: Window, length_s: float) -> int:
        start = self.clock.now() - self.clock.now() % length_s
        open_now = sum(self.counted(one, window) for one in self.open.values() if one.at >= start)
        return open_now + sum(amount for of, at, amount in self.past if of is window and at >= start)

    def counted(self, one: Open, window: Window) -> int:
        match window:
            case Window.REQUESTS:
                return 1
            case Window.TOKENS:
                return one.tokens
            case Window.VIDEO:
                return one.video_ms
            case _:
                return one.amount

    def admits(self, asked: Open) -> bool:
        limits, minute, day, month = self.limits, 60.0, 86400.0, 1e10
        windows = (
            (limits.requests_per_minute, Window.REQUESTS, minute),
            (None if asked.job else limits.tokens_per_minute, Window.TOKENS, minute),
            (limits.video_seconds_per_day and limits.video_seconds_per_day * 1000, Window.VIDEO, day),
            (limits.spend_per_day_nano, Window.DAY, day),
            (limits.spend_per_month_nano, Window.MONTH, month),
        )
        fits = all(
            limit is None
            or window is (Window.TOKENS if asked.job else Window.VIDEO)  # of the other kind of work only
            or self.spent(window, length) + self.counted(asked, window) <= limit
            for limit, window, length in windows
        )
        slots = limits.jobs_in_flight if asked.job else limits.concurrent_calls
        return fits and (slots is None or sum(one.job is asked.job for one in self.open.values()) < slots)

    @rule(amount=st.integers(0, 60), tokens=st.integers(0, 120))
    def call(self, amount: int, tokens: int) -> None:
        self.ask(Open(amount, tokens, 0, False, self.clock.now()), self.key.call(amount, tokens=tokens))

    @rule(amount=st.integers(0, 60), video_ms=st.integers(0, 2500))
    def job(self, amount: int, video_ms: int) -> None:
        self.ask(Open(amount, 0, video_ms, True, self.clock.now()), self.key.job(amount, video_ms=video_ms))

    def ask(self, asked: Open, asking: Coroutine[Any, Any, str]) -> None:
        expected = self.admits(asked)
        try:
            hold = self.run(asking)
        except ClientError:
            assert not expected
            return
        assert expected
        self.open[hold] = asked

    @precondition(lambda self: self.open)
    @rule(which=st.integers(0, 100), cost=st.integers(0, 90), tokens=st.integers(0, 200), video_ms=st.integers(0, 3000))
    def end(self, which: int, cost: int, tokens: int, video_ms: int) -> None:
        hold = sorted(self.open)[which % len(self.open)]
        one = self.open.pop(hold)
        if one.job:
            self.run(self.key.end_job(hold, cost, video_ms=video_ms))
            ended = Open(cost, 0, video_ms, True, one.at)
        else:
            self.run(self.key.end(hold, cost, tokens=tokens))
            ended = Open(cost, tokens, 0, False, one.at)
        self.past += [(window, one.at, self.counted(ended, window)) for window in Window]

    @precondition(lambda self: self.open)
    @rule(which=st.integers(0, 100))
    def give_up(self, which: int) -> None:
        hold = sorted(self.open)[which % len(self.open)]
        one = self.open.pop(hold)
        if one.job:
            self.run(self.key.end_job(hold, video_ms=None))
        else:
            self.run(self.released(hold))
        self.past.append((Window.REQUESTS, one.at, 1))

    async def released(self, hold: str) -> None:
        await self.key.store.ledger.release(hold, None)

    @rule(seconds=st.sampled_from([0.5, 20.0, 60.0, 3600.0, 40_000.0]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @invariant()
    def exact(self) -> None:
        if hasattr(self, "key"):
            assert self.run(self.key.store.ledger.check()) == []

    def teardown(self) -> None:
        if hasattr(self, "key"):
            self.run(self.stack.aclose())
        self.loop.close()
        self.folder.cleanup()


TestLimits = Limits.TestCase
TestLimits.settings = settings(
    max_examples=15, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)

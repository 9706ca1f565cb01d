"""Whatever order calls, jobs, ends, deaths, changes of limits and time come in: what is admitted is what a simple model of
the limits admits. ``RELAYHUB_TEST_EXAMPLES=2000`` tries that many histories."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from relayhub.accounts.issuing import issue_key
from relayhub.store.audit import SYSTEM
from relayhub.store.keys import KeyTerms
from relayhub.store.limit_batch import OF_CALLS, OF_JOBS, limit_of
from relayhub.store.steps import STEPS
from relayhub.store.windows import Window
from relayhub.testing import FakeClock
from relayhub.types.errors import ClientError
from relayhub.types.key_limits import KeyLimits
from tests.store.long_form import empty_database, machine_settings, timeout_s
from tests.store.mortal import THREAD_DIES, Died, Mortal
from tests.support.limited import Limited

START = datetime(2026, 9, 1, tzinfo=UTC).timestamp()
"""A month has more days than a history here."""

LOST = -1
"""A hold whose number nobody was told."""

MINUTE, DAY, MONTH = 60.0, 86400.0, 1e10
LENGTH_S = {
    Window.REQUESTS: MINUTE,
    Window.TOKENS: MINUTE,
    Window.VIDEO: DAY,
    Window.DAY: DAY,
    Window.MONTH: MONTH,
}

maybe = st.none() | st.integers(1, 6)
few = st.none() | st.integers(1, 2)
LIMITS = st.builds(
    lambda rpm, tpm, calls, jobs, video, day: KeyLimits(
        None, None, rpm, tpm, calls, jobs, video, None if day is None else day * 50, 500
    ),
    maybe,
    st.none() | st.integers(1, 300),
    few,
    few,
    maybe,
    maybe,
)


@dataclass(frozen=True)
class Asked:
    """A call or job, by what it may come to, and later by what it came to. ``windows``: those that it is counted in."""

    amount: int
    tokens: int
    video_ms: int
    job: bool
    at: float
    windows: frozenset[Window] = frozenset()

    def counts(self, window: Window) -> int:
        match window:
            case Window.REQUESTS:
                return 1
            case Window.TOKENS:
                return self.tokens
            case Window.VIDEO:
                return self.video_ms
            case Window.DAY | Window.MONTH:
                return self.amount


@dataclass
class LimitsModel:
    """``past``: what has ended, by what it came to; it still counts where it began."""

    limits: KeyLimits
    open: dict[int, Asked] = field(default_factory=dict)
    past: list[Asked] = field(default_factory=list)

    def limited(self, asked: Asked) -> frozenset[Window]:
        kinds = OF_JOBS if asked.job else OF_CALLS
        return frozenset(window for window in kinds if limit_of(self.limits, window) is not None)

    def spent(self, window: Window, now: float) -> int:
        start = now - now % LENGTH_S[window]
        counted = [one for one in (*self.open.values(), *self.past) if window in one.windows and one.at >= start]
        return sum(one.counts(window) for one in counted)

    def admits(self, asked: Asked) -> bool:
        for window in self.limited(asked):
            limit = limit_of(self.limits, window)
            if limit is not None and self.spent(window, asked.at) + asked.counts(window) > limit:
                return False
        most = self.limits.jobs_in_flight if asked.job else self.limits.concurrent_calls
        return most is None or sum(one.job is asked.job for one in self.open.values()) < most

    def admit(self, name: int, asked: Asked) -> None:
        self.open[name] = replace(asked, windows=self.limited(asked))

    def end(self, name: int, *, amount: int = 0, tokens: int = 0, video_ms: int = 0) -> None:
        self.past.append(replace(self.open.pop(name), amount=amount, tokens=tokens, video_ms=video_ms))

    def die(self) -> None:
        for name in [name for name, one in self.open.items() if not one.job]:
            self.end(name)


class Limits(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "b.db"
        empty_database(self.path)
        self.loop = asyncio.new_event_loop()
        self.clock = FakeClock(START)
        self.mortal = Mortal(self.path, self.clock)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    @initialize(limits=LIMITS)
    def begin(self, limits: KeyLimits) -> None:
        self.run(self.mortal.open())
        store = self.mortal.store
        account = self.run(store.accounts.create("acme", unlimited=False))
        self.run(store.ledger.grant(account.id, 1_000_000, actor="test", reason="to begin with"))
        issued = self.run(issue_key(store.keys, "key", account.id, limits=limits))
        self.key = Limited(store, self.clock, issued)
        self.model = LimitsModel(limits)

    def come_back(self) -> None:
        self.model.die()
        self.run(self.mortal.open())
        self.key.store = self.mortal.store

    @rule(limits=LIMITS)
    def change(self, limits: KeyLimits) -> None:
        """What was not limited was not counted, and what was is remembered while its window runs."""
        terms = KeyTerms("key", None, None, None, limits=limits)
        self.run(self.key.store.keys.update(self.key.key.key.id, terms, SYSTEM))
        self.model.limits = limits

    @rule(amount=st.integers(0, 60), tokens=st.integers(0, 120))
    def call(self, amount: int, tokens: int) -> None:
        self.ask(Asked(amount, tokens, 0, False, self.clock.now()), self.key.call(amount, tokens=tokens))

    @rule(amount=st.integers(0, 60), video_ms=st.integers(0, 2500))
    def job(self, amount: int, video_ms: int) -> None:
        self.ask(Asked(amount, 0, video_ms, True, self.clock.now()), self.key.job(amount, video_ms=video_ms))

    def ask(self, asked: Asked, asking: Coroutine[Any, Any, int]) -> None:
        expected = self.model.admits(asked)
        try:
            found = self.run(self.mortal.attempt(asking))
        except ClientError:
            assert not expected
            return
        if isinstance(found, Died):
            self.died_asking(asked, durable=found.durable and expected)
            return
        assert expected
        self.model.admit(found, asked)

    def died_asking(self, asked: Asked, *, durable: bool) -> None:
        """Nobody was told of a job that was opened by then, but it is there. (A call ends with us.)"""
        if durable and not asked.job:
            self.model.admit(LOST, asked)
        self.come_back()
        if durable and asked.job:
            job = self.run(self.key.store.jobs.get(f"job_req_{self.key.calls}"))
            self.key.jobs[job.hold_id] = job
            self.model.admit(job.hold_id, asked)

    @precondition(lambda self: self.model.open)
    @rule(which=st.integers(0, 100), cost=st.integers(0, 90), tokens=st.integers(0, 200), video_ms=st.integers(0, 3000))
    def end(self, which: int, cost: int, tokens: int, video_ms: int) -> None:
        name, one = self.pick(which)
        if one.job:
            self.finish(name, self.key.end_job(name, cost, video_ms=video_ms), amount=cost, video_ms=video_ms)
        else:
            self.finish(name, self.key.end(name, cost, tokens=tokens), amount=cost, tokens=tokens)

    @precondition(lambda self: self.model.open)
    @rule(which=st.integers(0, 100))
    def give_up(self, which: int) -> None:
        name, one = self.pick(which)
        self.finish(name, self.key.end_job(name, video_ms=None) if one.job else self.released(name))

    def pick(self, which: int) -> tuple[int, Asked]:
        name = sorted(self.model.open)[which % len(self.model.open)]
        return name, self.model.open[name]

    def finish(self, name: int, ending: Coroutine[Any, Any, object], **used: int) -> None:
        job = self.key.jobs.get(name)
        found = self.run(self.mortal.attempt(ending))
        if not isinstance(found, Died) or found.durable:
            self.model.end(name, **used)
        elif job is not None:
            self.key.jobs[name] = job
        if isinstance(found, Died):
            self.come_back()

    async def released(self, hold: int) -> None:
        await self.key.store.ledger.release(hold, None)

    @rule(seconds=st.sampled_from([0.5, 20.0, 60.0, 3600.0, 40_000.0]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(step=st.sampled_from(STEPS))
    def doom(self, step: str) -> None:
        """The next transaction is the process's last."""
        self.mortal.doom = step

    @rule(crash=st.booleans())
    def end_process(self, crash: bool) -> None:
        """Between two transactions, or in good order."""
        self.run(self.mortal.die() if crash else self.mortal.leave())
        self.come_back()

    @invariant()
    def exact(self) -> None:
        if not hasattr(self, "key"):
            return
        assert self.run(self.key.store.ledger.check()) == []
        counts, now = self.run(self.key.store.keys.counts(self.key.key.key.id)), self.clock.now()
        for window in Window:
            since, amount = counts.get(window, (0.0, 0))
            found = amount if since >= now - now % LENGTH_S[window] else 0
            assert (window, found) == (window, self.model.spent(window, now))

    def teardown(self) -> None:
        if hasattr(self, "key"):
            self.run(self.mortal.leave())
        self.loop.close()
        self.folder.cleanup()


TestLimits = pytest.mark.timeout(timeout_s(300))(pytest.mark.filterwarnings(THREAD_DIES)(Limits.TestCase))
TestLimits.settings = machine_settings(examples=20, steps=40)

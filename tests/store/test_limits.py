"""A key's limits are decided where its money is: exact whoever asks, corrected by what calls came to, free at their end."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Coroutine
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from relayhub.accounts.issuing import issue_key
from relayhub.sdk.clock import SystemClock
from relayhub.store.audit import SYSTEM
from relayhub.store.keys import KeyTerms
from relayhub.store.windows import Calendar, Window
from relayhub.testing import FakeClock
from relayhub.types.errors import ClientError, ErrorKind
from relayhub.types.key_limits import NO_LIMITS, KeyLimits
from tests.support.inner_hub import Gate, until
from tests.support.limited import Limited, open_limited, open_store

ROOT = Path(__file__).parent.parent.parent

MINUTE = 1_790_000_040.0
"""The beginning of one."""

MIDNIGHT = 1_790_035_200.0
"""In UTC."""


async def change(key: Limited, limits: KeyLimits) -> None:
    now = await key.store.keys.get(key.key.key.id)
    terms = KeyTerms(now.name, now.limit_nano, now.models, now.expires_at, limits=limits)
    await key.store.keys.update(now.id, terms, SYSTEM)


# --- windows ----------------------------------------------------------------------------------------------------------


async def test_a_minute_takes_as_many_requests_as_it_may_and_the_next_as_many_again(tmp_path: Path) -> None:
    clock = FakeClock(MINUTE + 15)
    async with open_limited(tmp_path / "b.db", KeyLimits(requests_per_minute=10), clock=clock) as key:
        assert await key.burst(40) == {"ok": 10, "requests_per_minute_exceeded": 30}
        error = await key.refused()
        assert error is not None
        assert (error.kind, error.retry_after_s) == (ErrorKind.RATE_LIMITED, 45)
        assert dict(error.headers) == {"ratelimit-limit": "10", "ratelimit-remaining": "0", "ratelimit-reset": "45"}
        clock.advance(44.5)
        assert await key.refused() is not None
        clock.advance(0.5)
        assert await key.burst(40) == {"ok": 10, "requests_per_minute_exceeded": 30}


async def test_a_request_that_ended_still_was_one(tmp_path: Path) -> None:
    async with open_limited(tmp_path / "b.db", KeyLimits(requests_per_minute=2)) as key:
        await key.end(await key.call())
        await key.store.ledger.release(await key.call(), None)
        assert await key.refused() is not None


async def test_a_refused_call_is_counted_nowhere(tmp_path: Path) -> None:
    limits = KeyLimits(requests_per_minute=5, tokens_per_minute=100, spend_per_day_nano=50)
    async with open_limited(tmp_path / "b.db", limits, total=40) as key:
        await key.call(10, tokens=10)
        for asked in ({"amount": 0, "tokens": 91}, {"amount": 41}, {"amount": 31}):
            assert await key.refused(**asked) is not None
        counts = await key.store.keys.counts(key.key.key.id)
        assert {window: amount for window, (_, amount) in counts.items()} == {
            Window.REQUESTS: 1,
            Window.TOKENS: 10,
            Window.DAY: 10,
        }


async def test_tokens_are_taken_by_estimate_and_corrected_by_use(tmp_path: Path) -> None:
    async with open_limited(tmp_path / "b.db", KeyLimits(tokens_per_minute=1000)) as key:
        first = await key.call(tokens=600)
        error = await key.refused(tokens=401)
        assert error is not None
        assert (error.code, dict(error.headers)["ratelimit-remaining"]) == ("tokens_per_minute_exceeded", "400")
        assert error.retry_after_s is not None
        await key.end(first, tokens=100)
        second = await key.call(tokens=900)
        assert await key.refused(tokens=1) is not None
        await key.store.ledger.release(second, None)
        third = await key.call(tokens=900)
        await key.end(third, tokens=5000)  # more than was thought: it counts all the same
        assert await key.refused(tokens=0) is not None


async def test_who_asks_for_more_than_the_whole_limit_is_told_not_to_wait(tmp_path: Path) -> None:
    async with open_limited(tmp_path / "b.db", KeyLimits(tokens_per_minute=1000)) as key:
        error = await key.refused(tokens=1001)
        assert error is not None
        assert (error.retry_after_s, dict(error.headers)["x-should-retry"]) == (None, "false")
        assert "ask for less" in error.message


async def test_a_correction_never_reaches_a_later_window(tmp_path: Path) -> None:
    clock = FakeClock(MINUTE + 50)
    limits = KeyLimits(tokens_per_minute=1000, requests_per_minute=100)
    async with open_limited(tmp_path / "b.db", limits, clock=clock) as key:
        old = await key.call(tokens=1000)
        clock.advance(20)
        await key.call(tokens=700)
        await key.end(old, tokens=10)
        assert await key.refused(tokens=301) is not None
        assert await key.refused(tokens=300) is None


async def test_a_calls_end_leaves_the_next_day_alone_which_a_job_has_begun(tmp_path: Path) -> None:
    """Calls and jobs of a key are counted in one day: what the calls knew of it is yesterday's."""
    clock, limits = FakeClock(MIDNIGHT - 50), KeyLimits(spend_per_day_nano=100)
    async with open_limited(tmp_path / "b.db", limits, clock=clock) as key:
        call = await key.call(40)
        clock.advance(60)
        await key.job(70)
        await key.end(call, 10)
        counts = await key.store.keys.counts(key.key.key.id)
        assert counts[Window.DAY] == (MIDNIGHT, 70)
        assert await key.refused(amount=31) is not None
        assert await key.refused(amount=30) is None


async def test_a_day_in_which_nothing_is_counted_yet_has_not_begun(tmp_path: Path) -> None:
    """What was refused today does not keep a call of yesterday from being corrected there."""
    clock, limits = FakeClock(MIDNIGHT - 50), KeyLimits(spend_per_day_nano=100)
    async with open_limited(tmp_path / "b.db", limits, clock=clock) as key:
        call = await key.call(40)
        clock.advance(60)
        assert await key.refused(amount=101) is not None
        await key.end(call, 10)
        counts = await key.store.keys.counts(key.key.key.id)
        assert counts[Window.DAY] == (MIDNIGHT - 86400, 10)


async def test_a_clock_that_goes_back_gives_no_second_minute(tmp_path: Path) -> None:
    clock = FakeClock(MINUTE + 5)
    async with open_limited(tmp_path / "b.db", KeyLimits(requests_per_minute=3), clock=clock) as key:
        assert (await key.burst(5))["ok"] == 3
        clock.advance(-30)
        error = await key.refused()
        assert error is not None
        assert error.retry_after_s == 85


async def test_a_clock_that_goes_back_far_keeps_nobody_waiting_for_long(tmp_path: Path) -> None:
    clock = FakeClock(MINUTE + 5)
    async with open_limited(tmp_path / "b.db", KeyLimits(requests_per_minute=3), clock=clock) as key:
        assert (await key.burst(5))["ok"] == 3
        clock.advance(-7200)
        error = await key.refused()
        assert error is not None, "what was used is used"
        assert error.retry_after_s == 55
        clock.advance(55)
        assert (await key.burst(5))["ok"] == 3


async def test_spending_begins_anew_at_midnight_in_the_configured_zone(tmp_path: Path) -> None:
    evening = datetime.fromisoformat("2026-03-31T23:00:00+02:00").timestamp()
    clock, calendar = FakeClock(evening), Calendar(ZoneInfo("Europe/Berlin"))
    limits = KeyLimits(spend_per_day_nano=100, spend_per_month_nano=150)
    async with open_limited(tmp_path / "b.db", limits, clock=clock, calendar=calendar) as key:
        for _ in range(10):
            await key.end(await key.call(10), 10)
        error = await key.refused(amount=1)
        assert error is not None
        assert (error.kind, error.code) == (ErrorKind.QUOTA_EXCEEDED, "spend_per_day_exceeded")
        assert "3600 s" in error.message
        clock.advance(3600)  # another day, and another month
        assert await key.burst(12, amount=10) == {"ok": 10, "spend_per_day_exceeded": 2}
        clock.advance(86400)
        assert await key.burst(12, amount=10) == {"ok": 5, "spend_per_month_exceeded": 7}


async def test_what_a_call_cost_less_than_was_held_may_be_spent(tmp_path: Path) -> None:
    async with open_limited(tmp_path / "b.db", KeyLimits(spend_per_day_nano=100)) as key:
        hold = await key.call(100)
        assert await key.refused(amount=1) is not None
        await key.end(hold, 30)
        assert await key.refused(amount=71) is not None
        assert await key.refused(amount=70) is None
        await key.store.ledger.release(await key.call(70), None)
        assert await key.refused(amount=70) is None


async def test_a_limit_set_while_a_call_runs_is_not_reduced_by_its_end(tmp_path: Path) -> None:
    async with open_limited(tmp_path / "b.db", KeyLimits(tokens_per_minute=1000)) as key:
        before = await key.call(90)
        await change(key, KeyLimits(tokens_per_minute=1000, spend_per_day_nano=100))
        await key.call(60)
        await key.end(before, 0)
        assert await key.refused(amount=41) is not None
        assert await key.refused(amount=40) is None


# --- slots ------------------------------------------------------------------------------------------------------------


async def test_a_thousand_calls_of_which_half_vanish_leave_every_slot_free(tmp_path: Path) -> None:
    async with open_limited(tmp_path / "b.db", KeyLimits(concurrent_calls=10)) as key:
        open_now = most = served = 0

        async def one() -> None:
            nonlocal open_now, most, served
            while (hold := await key.admitted()) is None:
                await asyncio.sleep(0)
            open_now += 1
            most = max(most, open_now)
            await asyncio.sleep(0)
            open_now -= 1
            served += 1
            await key.end(hold, 1)

        async def vanishing(turns: int) -> None:
            """Cancelled before its hold is granted, while it is, or after that."""
            task = asyncio.create_task(key.admitted())
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            hold = (await asyncio.gather(task, return_exceptions=True))[0]
            if isinstance(hold, int):
                await key.store.ledger.release(hold, None)

        for _ in range(10):
            await asyncio.gather(*(one() if n % 2 else vanishing(n // 2) for n in range(100)))
        assert (served, most) == (500, 10)
        assert await key.burst(30) == {"ok": 10, "concurrent_calls_exceeded": 20}


async def test_calls_and_jobs_have_their_own_slots(tmp_path: Path) -> None:
    async with open_limited(tmp_path / "b.db", KeyLimits(concurrent_calls=1, jobs_in_flight=2)) as key:
        call, first = await key.call(), await key.job()
        await key.job()
        with pytest.raises(ClientError) as caught:
            await key.job()
        assert (caught.value.kind, caught.value.code) == (ErrorKind.RATE_LIMITED, "jobs_in_flight_exceeded")
        assert dict(caught.value.headers)["ratelimit-limit"] == "2"
        assert await key.refused() is not None
        await key.end(call)
        assert await key.refused() is None
        await key.end_job(first)
        await key.job()


async def test_seconds_of_video_are_counted_by_the_day_and_given_back_for_what_fails(tmp_path: Path) -> None:
    clock = FakeClock(datetime.fromisoformat("2026-03-01T12:00:00+00:00").timestamp())
    async with open_limited(tmp_path / "b.db", KeyLimits(video_seconds_per_day=20), clock=clock) as key:
        long, short = await key.job(video_ms=12_000), await key.job(video_ms=8_000)
        with pytest.raises(ClientError) as caught:
            await key.job(video_ms=1)
        assert (caught.value.code, caught.value.retry_after_s) == ("video_seconds_per_day_exceeded", 12 * 3600)
        await key.end_job(short, video_ms=None)
        await key.end_job(long, video_ms=10_500)
        await key.job(video_ms=9_500)
        with pytest.raises(ClientError):
            await key.job(video_ms=1)
        assert await key.refused(tokens=10**6) is None, "calls make no video"
        clock.advance(12 * 3600)
        await key.job(video_ms=20_000)


async def test_a_slot_is_free_for_the_call_that_comes_in_the_transaction_of_its_end(tmp_path: Path) -> None:
    waiting, go_on = threading.Event(), threading.Event()
    go_on.set()

    def step(name: str) -> None:
        if name == "before_begin" and not go_on.is_set():
            waiting.set()
            assert go_on.wait(10)

    async with open_limited(tmp_path / "b.db", KeyLimits(concurrent_calls=1), on_step=step) as key:
        first = await key.call()
        go_on.clear()
        probing = asyncio.create_task(key.store.epochs.renew())
        assert await asyncio.to_thread(waiting.wait, 10)
        ending = key.store.ledger.release(first, None)
        burst = asyncio.create_task(key.burst(3))
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.gather(probing, ending)
        assert await burst == {"ok": 1, "concurrent_calls_exceeded": 2}


async def test_calls_and_jobs_of_one_transaction_count_in_one_window(tmp_path: Path) -> None:
    """Also in one in which nothing was counted before, and the first to ask is refused for another reason."""
    waiting, go_on = threading.Event(), threading.Event()
    go_on.set()

    def step(name: str) -> None:
        if name == "before_begin" and not go_on.is_set():
            waiting.set()
            assert go_on.wait(10)

    async with open_limited(tmp_path / "b.db", KeyLimits(requests_per_minute=2), on_step=step) as key:
        go_on.clear()
        probing = asyncio.create_task(key.store.epochs.renew())
        assert await asyncio.to_thread(waiting.wait, 10)
        asked = [asyncio.create_task(work) for work in (key.call(10**15), key.job(), key.call(), key.job())]
        await asyncio.sleep(0)
        assert key.store.ledger._writer.pending == 4
        go_on.set()
        await probing
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert [isinstance(one, int) for one in found] == [False, True, True, False]
        assert await key.refused() is not None


async def test_a_window_in_which_a_call_was_only_refused_counts_calls_and_jobs_together(tmp_path: Path) -> None:
    """The refused call has looked at a window that had nothing in it; a job's is the same one in the next transaction."""
    clock = FakeClock(MINUTE)
    async with open_limited(tmp_path / "b.db", KeyLimits(requests_per_minute=2), clock=clock) as key:
        await key.call()
        for _ in range(2):
            clock.advance(60)
            error = await key.refused(amount=10**15)
            assert error is not None
            assert error.kind is ErrorKind.QUOTA_EXCEEDED
            await key.job()
            await key.call()
            for more in (key.call, key.job):
                with pytest.raises(ClientError) as caught:
                    await more()
                assert caught.value.code == "requests_per_minute_exceeded"


async def test_the_later_minute_goes_on_for_calls_and_jobs_if_the_clock_goes_back(tmp_path: Path) -> None:
    clock = FakeClock(MINUTE + 59.7)
    async with open_limited(tmp_path / "b.db", KeyLimits(requests_per_minute=2), clock=clock) as key:
        await key.job()
        clock.advance(0.5)
        await key.call()
        await key.call()
        clock.advance(-0.4)
        for more in (key.job, key.call):
            with pytest.raises(ClientError):
                await more()
        clock.advance(0.4)
        await key.store.accounts.create("another", unlimited=False)  # the books are read again
        assert await key.refused() is not None


async def test_a_day_that_was_only_looked_at_has_one_count_if_the_clock_goes_back(tmp_path: Path) -> None:
    midnight = MINUTE - MINUTE % 86_400 + 86_400
    clock = FakeClock(midnight + 0.2)
    async with open_limited(tmp_path / "b.db", KeyLimits(spend_per_day_nano=100), clock=clock) as key:
        assert await key.refused(amount=101) is not None
        clock.advance(-0.4)
        await key.job(1)
        clock.advance(0.4)
        await key.job(60)
        assert await key.refused(amount=60) is not None
        await key.call(40)
        with pytest.raises(ClientError):
            await key.job(1)


@pytest.mark.parametrize("forgets", [False, True])
@pytest.mark.parametrize("first", ["end", "hold"])
@pytest.mark.parametrize(("before", "day_turns"), [(MIDNIGHT - 3600, False), (MIDNIGHT, True)])
async def test_a_call_of_the_minute_before_ends_in_the_transaction_in_which_one_of_the_next_begins(
    tmp_path: Path, before: float, day_turns: bool, first: str, forgets: bool
) -> None:
    """``before``: the end of the one minute, at which a day may turn too. ``forgets``: what was counted is read again."""
    path, clock, gate = tmp_path / "b.db", FakeClock(before - 10), Gate()
    limits = KeyLimits(tokens_per_minute=1000, spend_per_day_nano=100)
    day, was = (MIDNIGHT, 0) if day_turns else (MIDNIGHT - 86_400, 10 + 20)
    async with open_limited(path, limits, clock=clock, on_step=gate) as key:
        old, other = await key.call(40, tokens=600), await key.call(20, tokens=200)
        clock.advance(20)
        if forgets:
            key.store._writer._known.forget()
        work = [key.end(old, 10, tokens=100), key.call(30, tokens=700)]
        ended = await together(key, gate, *(work if first == "end" else reversed(work)))
        new = next(one for one in ended if isinstance(one, int))
        assert windows(path) == [("day_nano", day, was + 30), ("tokens", before, 700)]
        await key.end(other, 15, tokens=50)  # which is counted where it began too
        was = 0 if day_turns else 10 + 15
        assert windows(path) == [("day_nano", day, was + 30), ("tokens", before, 700)]
        await key.end(new, 25, tokens=650)
        assert windows(path) == [("day_nano", day, was + 25), ("tokens", before, 650)]
    again = replace(key, store=await open_store(path, clock))
    assert windows(path) == [("day_nano", day, was + 25), ("tokens", before, 650)]
    assert await again.refused(tokens=351) is not None
    assert await again.refused(amount=100 - was - 25 + 1) is not None
    await again.call(100 - was - 25, tokens=350)
    assert windows(path) == [("day_nano", day, 100), ("tokens", before, 1000)]
    await again.store.close()


async def test_several_keys_are_counted_each_for_itself_in_one_transaction(tmp_path: Path) -> None:
    """One whose windows go on or begin anew, one whose windows go on, one of which nothing was counted yet, and one without
    limits."""
    path, clock, gate = tmp_path / "b.db", FakeClock(MINUTE + 50), Gate()
    limits = KeyLimits(tokens_per_minute=1000, spend_per_day_nano=100)
    async with open_limited(path, limits, clock=clock, on_step=gate) as one:

        async def another(name: str, limits: KeyLimits, calls: int) -> Limited:
            issued = await issue_key(one.store.keys, name, one.key.key.account_id, limits=limits)
            return replace(one, key=issued, calls=calls)

        two = await another("two", KeyLimits(spend_per_day_nano=60, spend_per_month_nano=500), 1000)
        three = await another("three", KeyLimits(requests_per_minute=1, tokens_per_minute=300), 2000)
        four = await another("four", NO_LIMITS, 3000)
        old, going, free = await one.call(40, tokens=600), await two.call(50), await four.call(9)
        clock.advance(20)
        found = await together(
            one,
            gate,
            two.call(11),
            one.call(30, tokens=700),
            three.call(5, tokens=200),
            four.end(free, 7),
            two.end(going, 20),
            one.end(old, 10, tokens=100),
            three.call(5, tokens=1),
            two.call(40),
        )
        codes = [error.code if isinstance(error, ClientError) else None for error in found]
        refused = {0: "spend_per_day_exceeded", 6: "requests_per_minute_exceeded"}
        assert codes == [refused.get(place) for place in range(8)]
        day, month = MINUTE - MINUTE % 86_400, datetime(2026, 9, 1, tzinfo=UTC).timestamp()
        expected = [
            {Window.DAY: (day, 10 + 30), Window.TOKENS: (MINUTE + 60, 700)},
            {Window.DAY: (day, 20 + 40), Window.MONTH: (month, 20 + 40)},
            {Window.REQUESTS: (MINUTE + 60, 1), Window.TOKENS: (MINUTE + 60, 200)},
            {},
        ]
        keys = (one, two, three, four)
        assert [await key.store.keys.counts(key.key.key.id) for key in keys] == expected
        again = await open_store(path, clock)
        assert [await again.keys.counts(key.key.key.id) for key in keys] == expected
        assert await replace(two, store=again).refused(amount=1) is not None
        assert await replace(three, store=again).refused(tokens=1) is not None
        assert await replace(one, store=again).refused(tokens=301) is not None
        await again.close()


async def together(key: Limited, gate: Gate, *work: Coroutine[object, object, object]) -> list[object]:
    """In one transaction, in this order: what each has come to."""
    gate.close()
    probing = asyncio.create_task(key.store.epochs.renew())
    await until(lambda: gate.reached)
    tasks = [asyncio.create_task(one) for one in work]
    await asyncio.sleep(0)
    assert key.store.ledger._writer.pending == len(tasks)
    gate.open()
    await probing
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_dead_process_leaves_neither_slots_nor_spending_behind(tmp_path: Path) -> None:
    path = tmp_path / "b.db"
    async with open_limited(path, KeyLimits(concurrent_calls=3, spend_per_month_nano=100)) as key:
        child = [sys.executable, "-c", CHILD, str(path), key.key.key.id, key.key.key.account_id, "slots"]
        done = await asyncio.to_thread(subprocess.run, child, cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert done.stdout.split() == ["ok"] * 3 + ["concurrent_calls_exceeded"] * 2, done.stderr
        assert (await key.refused() or pytest.fail("a slot was free")).code == "concurrent_calls_exceeded"
        assert (await key.store.keys.counts(key.key.key.id))[Window.MONTH][1] == 30
        again = await open_store(path, key.clock)
        await again.close()
        assert (await key.store.keys.counts(key.key.key.id))[Window.MONTH][1] == 0
        assert await key.burst(5) == {"ok": 3, "concurrent_calls_exceeded": 2}


# --- several processes ------------------------------------------------------------------------------------------------

CHILD = """
import asyncio, os, sys
from pathlib import Path
from relayhub.sdk.clock import SystemClock
from relayhub.store.intents import NewHold
from relayhub.store.store import Store
from relayhub.types.errors import ClientError
from tests.support.books import ABOUT, record

path, key, account, what = sys.argv[1:]

async def one(store, n, settle):
    try:
        hold = await store.ledger.hold(NewHold(f"req_{n}", key, account, 10, ABOUT, 5))
    except ClientError as error:
        return error.code
    if settle:
        await store.ledger.settle(hold, record(f"req_{n}", cost_nano=10))
    return "ok"

async def main():
    store = await Store.open(Path(path), durability="process", clock=SystemClock())
    if what == "slots":
        for n in range(5):
            print(await one(store, n, False), flush=True)
        os._exit(0)
    for n in range(0, 200, 20):
        for result in await asyncio.gather(*(one(store, n + i, True) for i in range(20))):
            print(result)
    await store.close()

asyncio.run(main())
"""


async def test_three_processes_together_keep_to_one_limit(tmp_path: Path) -> None:
    path = tmp_path / "b.db"
    store = await open_store(path, SystemClock())
    account = await store.accounts.create("acme", unlimited=False)
    await store.ledger.grant(account.id, 10**9, actor="test", reason="r")
    limits = KeyLimits(spend_per_month_nano=1500)
    key = (await issue_key(store.keys, "key", account.id, limits=limits)).key
    arguments = [sys.executable, "-c", CHILD, str(path), key.id, account.id, "spend"]
    children = [
        await asyncio.create_subprocess_exec(*arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    results = await asyncio.wait_for(asyncio.gather(*(child.communicate() for child in children)), 90)
    assert [child.returncode for child in children] == [0, 0, 0], results
    said = b"".join(out for out, _ in results).split()
    assert (said.count(b"ok"), said.count(b"spend_per_month_exceeded"), len(said)) == (150, 450, 600)
    assert (await store.keys.counts(key.id))[Window.MONTH][1] == 1500
    assert await store.ledger.check() == []
    await store.close()


async def test_two_stores_share_slots_and_minutes(tmp_path: Path) -> None:
    clock = FakeClock(MINUTE)
    limits = KeyLimits(requests_per_minute=30, concurrent_calls=10)
    async with open_limited(tmp_path / "b.db", limits, clock=clock) as here:
        there = replace(here, store=await open_store(tmp_path / "b.db", clock), calls=1000)
        ours, theirs = await asyncio.gather(here.burst(20), there.burst(20))
        assert ours + theirs == {"ok": 10, "concurrent_calls_exceeded": 30}
        rows = await here.store.keys.counts(here.key.key.id)
        assert rows[Window.REQUESTS] == (MINUTE, 10)
        await there.store.close()


# --- keys -------------------------------------------------------------------------------------------------------------


async def test_a_disabled_key_is_refused_in_the_transaction_until_it_is_enabled(tmp_path: Path) -> None:
    async with open_limited(tmp_path / "b.db", NO_LIMITS) as key:
        await key.store.keys.disable("key")
        error = await key.refused()
        assert error is not None
        assert (error.kind, error.code) == (ErrorKind.KEY_BLOCKED, "key_disabled")
        assert (await key.store.keys.enable("key")).state == "active"
        assert await key.refused() is None


async def test_an_unlimited_key_is_never_short_of_money_and_all_of_it_is_booked(tmp_path: Path) -> None:
    async with open_limited(tmp_path / "b.db", NO_LIMITS, total=100) as key:
        issued = await issue_key(key.store.keys, "free", key.key.key.account_id, unlimited=True)
        free = replace(key, key=issued)
        await free.end(await free.call(250), 300)
        balance = (await key.store.accounts.get("acme")).balance
        assert (balance.total_nano, balance.used_nano, balance.held_nano) == (300, 300, 0)
        error = await key.refused(amount=1)
        assert error is not None
        assert error.code == "insufficient_quota"


async def test_limits_and_tags_are_kept_changed_and_left_alone(tmp_path: Path) -> None:
    limits = KeyLimits(("demo",), ("10.0.0.0/8", "::1"), 1, 2, 3, 4, 5, 6, 7)
    async with open_limited(tmp_path / "b.db", limits) as key:
        keys = key.store.keys
        assert (await keys.named("key")).limits == limits
        await change(key, NO_LIMITS)
        terms = KeyTerms("key", None, None, None, unlimited=True, tags=("b", " a", "b"))
        after = await keys.update(key.key.key.id, terms, SYSTEM)
        assert (after.limits, after.tags, after.unlimited) == (NO_LIMITS, ("a", "b"), True)
        same = await keys.update(key.key.key.id, KeyTerms("key", None, None, None), SYSTEM)
        assert (same.tags, same.unlimited) == (("a", "b"), True)
        with pytest.raises(ClientError) as caught:
            await keys.update(key.key.key.id, KeyTerms("key", 500, None, None, unlimited=True), SYSTEM)
        assert caught.value.code == "invalid_quota"
        limited = await keys.update(key.key.key.id, KeyTerms("key", 500, None, None), SYSTEM)
        assert (limited.limit_nano, limited.unlimited) == (500, False)


@pytest.mark.parametrize(
    "limits", [KeyLimits(networks=("10.0.0.1/8",)), KeyLimits(networks=("nowhere",)), KeyLimits(providers=())]
)
async def test_limits_that_make_no_sense_are_refused(tmp_path: Path, limits: KeyLimits) -> None:
    async with open_limited(tmp_path / "b.db", NO_LIMITS) as key:
        with pytest.raises(ClientError) as caught:
            await issue_key(key.store.keys, "other", key.key.key.account_id, limits=limits)
        assert caught.value.code == "invalid_limit"


@pytest.mark.parametrize("count", [0, -1, 2**60])
def test_a_limit_is_a_number_above_zero(count: int) -> None:
    with pytest.raises(ValueError, match="tokens_per_minute must be from 1"):
        KeyLimits(tokens_per_minute=count)


STEPS = st.one_of(
    st.tuples(
        st.just("wait"), st.sampled_from([0.3, 5, 31, 60, 3600, 86_400, -0.3, -0.7, -5, -31, -61, -3700, -86_500])
    ),
    st.tuples(st.sampled_from(["call", "job"]), st.sampled_from([0, 10, 30, 60, 10**7])),
    st.tuples(st.just("end"), st.integers(0, 60)),
)


@settings(max_examples=15, deadline=None)
@given(steps=st.lists(STEPS, max_size=30), before=st.sampled_from([0.2, 30.0, 120.0]))
@example(
    before=0.2,
    steps=[("wait", 0.4), ("call", 10**7), ("wait", -0.3), ("job", 10), ("wait", 0.3), ("job", 60), ("call", 60)],
)
def test_counts_that_are_kept_are_those_that_would_be_read(steps: list[tuple[str, float]], before: float) -> None:
    """Wherever the clock goes, one writer that remembers and one that begins anew with each transaction decide the same."""
    limits = KeyLimits(requests_per_minute=3, tokens_per_minute=200, spend_per_day_nano=80, spend_per_month_nano=150)
    midnight = datetime(2026, 10, 1, tzinfo=UTC).timestamp()

    async def history(folder: Path) -> None:
        clock = FakeClock(midnight - before)
        async with (
            open_limited(folder / "a.db", limits, clock=clock) as remembers,
            open_limited(folder / "b.db", limits, clock=clock) as forgets,
        ):
            calls: list[list[int]] = []
            for what, much in steps:
                forgets.store._writer._known.forget()
                if what == "wait":
                    clock.advance(much)
                elif what != "end":
                    told = [await asked(key, what, int(much)) for key in (remembers, forgets)]
                    assert told[0] == told[1]
                    held = [one for one in told if isinstance(one, int)]
                    if what == "call" and held:
                        calls.append(held)
                elif calls:
                    for key, hold_id in zip((remembers, forgets), calls.pop(0), strict=True):
                        await key.end(hold_id, int(much), tokens=int(much))
                assert windows(folder / "a.db") == windows(folder / "b.db")

    with TemporaryDirectory() as folder:
        asyncio.run(history(Path(folder)))


async def asked(key: Limited, what: str, much: int) -> int | tuple[str, float | None]:
    """The hold, or why there is none."""
    try:
        return await (key.call(much, tokens=much) if what == "call" else key.job(much))
    except ClientError as error:
        return error.code, error.retry_after_s


def windows(path: Path) -> list[tuple[str, float, int]]:
    with closing(sqlite3.connect(path)) as books:
        return books.execute("SELECT window, starts_at, amount FROM key_windows ORDER BY window").fetchall()

"""What calls add up to does not depend on how far they are rolled up, nor on which of them are still there."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from relayhub.accounts.issuing import issue_key
from relayhub.store.intents import NewHold
from relayhub.store.migrate import migrate
from relayhub.store.store import Store
from relayhub.store.usage import GROUPS, UsageFilter, UsageSum, cursor_of
from relayhub.store.usage_histogram import BOUNDS_MS, BUCKETS, percentile
from relayhub.store.usage_levels import DAY_S, ceil_day, floor_day
from relayhub.store.usage_rollups import LONGEST_STEP, STEP, next_step
from relayhub.testing import FakeClock
from relayhub.types.call import Outcome, UsageRecord
from relayhub.types.errors import ClientError, HubError
from relayhub.types.media import MediaUsage
from relayhub.types.usage import Usage
from tests.support.books import ABOUT, Books, open_books, record

NOW = datetime(2026, 3, 2, 15, 30, tzinfo=UTC).timestamp()
"""Two days into a month, and not at midnight."""

KEYS = {"red": ("web", "paid"), "blue": ()}
HOURS = 3600.0


@dataclass(frozen=True)
class Made:
    key: str
    record: UsageRecord


MADE = st.builds(
    lambda key, hours, model, user, tokens, cost, ms, failed, images: Made(
        key,
        replace(
            record("req", cost_nano=cost),
            at=NOW - hours * HOURS,
            model=model,
            operation="image" if images else "chat",
            outcome=Outcome.UPSTREAM_ERROR if failed else Outcome.COMPLETED,
            error_code="boom" if failed else None,
            usage=Usage(tokens, 2 * tokens),
            user_identifier=user,
            duration_ms=ms,
            measured=not failed,
            media=MediaUsage(images=images) if images else None,
            upstream_cost_nano=cost // 2 if images else None,
        ),
    ),
    st.sampled_from(sorted(KEYS)),
    st.one_of(st.integers(0, 100 * 24), st.sampled_from([15.5, 39.5, 15.5 + 24 * 31, 0.25])),
    st.sampled_from(["m1", "m2"]),
    st.sampled_from([None, "u1", "u2"]),
    st.integers(0, 50),
    st.integers(0, 50),
    st.one_of(st.integers(0, 50), st.sampled_from([*BOUNDS_MS, 10**9])),
    st.booleans(),
    st.integers(0, 2),
)
MOMENT = st.none() | st.integers(-2, 100 * 24).map(lambda hours: NOW - hours * HOURS)
ASKED = st.builds(
    UsageFilter,
    since=MOMENT,
    until=MOMENT,
    account=st.sampled_from([None, None, "acme", "nobody"]),
    key=st.sampled_from([None, None, "red", "green"]),
    model=st.sampled_from([None, None, "m1"]),
    user=st.sampled_from([None, None, "u1"]),
    tag=st.sampled_from([None, None, "web", "no-such"]),
    outcome=st.sampled_from([None, None, "completed"]),
)
STEPS = st.lists(st.one_of(MADE, st.just("roll up"), st.integers(1, 90)), min_size=1, max_size=25)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("empty") / "books.db"
    path.touch()
    migrate(path, NOW)
    return path


@given(steps=STEPS, asked=st.lists(st.tuples(ASKED, st.sampled_from(GROUPS)), min_size=1, max_size=5))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_same_answer_however_far_calls_are_rolled_up(
    steps: Sequence[Made | str | int], asked: Sequence[tuple[UsageFilter, str]], empty: Path, tmp_path: Path
) -> None:
    path = tmp_path / "books.db"
    for old in tmp_path.glob("books.db*"):
        old.unlink()
    shutil.copy(empty, path)
    asyncio.run(_compare(path, steps, asked))


async def _compare(path: Path, steps: Sequence[Made | str | int], asked: Sequence[tuple[UsageFilter, str]]) -> None:
    clock = FakeClock(NOW - 100 * DAY_S)
    async with open_books(path, total=10**6, clock=clock) as books:
        store, account = books.store, books.account_id
        keys = {name: (await issue_key(store.keys, name, account, tags=tags)).key.id for name, tags in KEYS.items()}
        made: list[Made] = []
        raw_since = 0
        for step in steps:
            clock.advance(4 * DAY_S - 5000)
            match step:
                case Made():
                    hold = await books.store.ledger.hold(NewHold("req", keys[step.key], books.account_id, 50, ABOUT))
                    await books.store.ledger.settle(hold, step.record)
                    made.append(step)
                case int():
                    before = NOW - step * DAY_S
                    await books.store.usage_rollups.forget(before)
                    raw_since = max(raw_since, floor_day(before))
                case _:
                    await books.store.usage_rollups.roll_up()
        assert await books.store.ledger.check() == []
        for wanted, group in asked:
            found = await books.store.usage.totals(wanted, group)
            expected = _added_up(made, wanted, group, raw_since)
            assert {one.name: one.sum for one in found.groups} == expected, (wanted, group)
            assert found.total == sum(_added_up(made, wanted, "model", raw_since).values(), UsageSum())


async def test_a_hundred_questions_about_three_months_of_calls(path: Path) -> None:
    """A call every seven hours; the first half is forgotten, and the last days are not rolled up yet."""
    chance = Random(7)
    clock = FakeClock(NOW - 90 * DAY_S)
    async with open_books(path, total=10**6, clock=clock) as books:
        store, account = books.store, books.account_id
        keys = {name: (await issue_key(store.keys, name, account, tags=tags)).key.id for name, tags in KEYS.items()}
        made: list[Made] = []
        while clock.now() < NOW:
            said = replace(
                record("req", cost_nano=chance.randrange(50)), at=clock.now(), model=chance.choice(["m1", "m2"])
            )
            said = replace(said, user_identifier=chance.choice([None, "u1"]), duration_ms=chance.randrange(10**5))
            made.append(Made(chance.choice(["red", "blue"]), said))
            hold = await store.ledger.hold(NewHold("req", keys[made[-1].key], account, 50, ABOUT))
            await store.ledger.settle(hold, said)
            if len(made) == 280:
                while await store.usage_rollups.roll_up():
                    pass
            clock.advance(7 * HOURS)
        await store.usage_rollups.forget(NOW - 45 * DAY_S)
        kept, raw_since = counted(path, "SELECT count(*) FROM usage"), floor_day(NOW - 45 * DAY_S)
        assert kept == sum(one.record.at >= raw_since for one in made) < len(made)
        assert await store.ledger.check() == []
        for _ in range(100):
            wanted = _question(chance)
            group = chance.choice(GROUPS)
            found = await store.usage.totals(wanted, group)
            assert {one.name: one.sum for one in found.groups} == _added_up(made, wanted, group, raw_since), wanted


def _question(chance: Random) -> UsageFilter:
    ends = sorted(NOW - chance.randrange(95 * 24 * 4) * HOURS / 4 for _ in range(2))
    since, until = (chance.choice([end, end, None]) for end in ends)
    named = {
        name: chance.choice([None, None, value]) for name, value in (("key", "red"), ("model", "m1"), ("user", "u1"))
    }
    return UsageFilter(since=since, until=until, **named)


def _added_up(made: Sequence[Made], wanted: UsageFilter, group: str, raw_since: int) -> dict[str | None, UsageSum]:
    found: dict[str | None, UsageSum] = defaultdict(UsageSum)
    for one in made:
        if _is_wanted(one, wanted, raw_since):
            for name in _names(one, group):
                found[name] += _one(one.record)
    return dict(found)


def _is_wanted(made: Made, wanted: UsageFilter, raw_since: int) -> bool:
    since, until, at = wanted.since, wanted.until, made.record.at
    if since is not None and until is not None and since >= until:
        return False
    if since is not None and since < raw_since:
        since = floor_day(since)
    if until is not None and until < raw_since:
        until = ceil_day(until)
    return (
        (since is None or at >= since)
        and (until is None or at < until)
        and wanted.account in (None, "acme")
        and wanted.key in (None, made.key)
        and wanted.model in (None, made.record.model)
        and wanted.user in (None, made.record.user_identifier)
        and wanted.outcome in (None, made.record.outcome.value)
        and (wanted.tag is None or wanted.tag in KEYS[made.key])
    )


def _names(made: Made, group: str) -> Sequence[str | None]:
    said = made.record
    match group:
        case "tag":
            return KEYS[made.key] or (None,)
        case "key":
            return (made.key,)
        case "account":
            return ("acme",)
        case "user":
            return (said.user_identifier,)
        case "day":
            return (datetime.fromtimestamp(said.at, UTC).date().isoformat(),)
        case "outcome":
            return (said.outcome.value,)
        case _:
            return (getattr(said, group),)


def _one(said: UsageRecord) -> UsageSum:
    buckets = [0] * BUCKETS
    buckets[bisect_left(BOUNDS_MS, said.duration_ms)] = 1
    return UsageSum(
        calls=1,
        errors=int(said.error_code is not None),
        estimated=int(not said.measured),
        input_tokens=said.usage.input_tokens,
        output_tokens=said.usage.output_tokens,
        images=0 if said.media is None else said.media.images,
        cost_nano=said.cost_nano,
        upstream_cost_nano=said.upstream_cost_nano or 0,
        duration_ms=said.duration_ms,
        latencies=tuple(buckets),
    )


async def spend(books: Books, *costs: int, at: float = NOW) -> None:
    for cost in costs:
        hold = await books.hold(cost)
        await books.store.ledger.settle(hold, replace(record("req", cost_nano=cost), at=at))


def counted(path: Path, statement: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        found: int = connection.execute(statement).fetchone()[0]
        return found


@pytest.fixture
def path(empty: Path, tmp_path: Path) -> Path:
    path = tmp_path / "books.db"
    shutil.copy(empty, path)
    return path


async def test_rolling_up_again_changes_nothing(path: Path) -> None:
    async with open_books(path, clock=FakeClock(NOW)) as books:
        await spend(books, 10, 20)
        assert not await books.store.usage_rollups.roll_up()
        before = counted(path, "SELECT sum(calls) + sum(cost_nano) FROM usage_rollups")
        assert not await books.store.usage_rollups.roll_up()
        assert counted(path, "SELECT sum(calls) + sum(cost_nano) FROM usage_rollups") == before > 0


async def test_processes_that_roll_up_at_the_same_time_add_each_call_once(path: Path) -> None:
    async with open_books(path, clock=FakeClock(NOW)) as books:
        others = [await Store.open(path, clock=FakeClock(NOW), durability="process") for _ in range(3)]
        try:
            for _ in range(5):
                await spend(books, 1, 2, 3)
                await asyncio.gather(*(store.usage_rollups.roll_up() for store in (books.store, *others)))
            total = (await books.store.usage.totals(UsageFilter(), "model")).total
            assert (total.calls, total.cost_nano) == (15, 30)
            assert await books.store.ledger.check() == []
        finally:
            for store in others:
                await store.close()


async def test_a_step_that_fails_at_its_end_leaves_nothing(path: Path) -> None:
    async with open_books(path, clock=FakeClock(NOW)) as books:
        await spend(books, 10)
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(
                "CREATE TRIGGER broken BEFORE INSERT ON meta WHEN new.name = 'usage_rolled' "
                "BEGIN SELECT RAISE(ABORT, 'no'); END"
            )
        with pytest.raises(HubError):
            await books.store.usage_rollups.roll_up()
        assert counted(path, "SELECT count(*) FROM usage_rollups") == 0
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("DROP TRIGGER broken")
        await books.store.usage_rollups.roll_up()
        assert (await books.store.usage.totals(UsageFilter(), "day")).total.cost_nano == 10


async def test_only_what_is_old_and_rolled_up_is_forgotten(path: Path) -> None:
    clock = FakeClock(NOW - 3 * DAY_S)
    async with open_books(path, clock=clock) as books:
        await spend(books, 10, at=clock.now())
        clock.advance(3 * DAY_S)
        await spend(books, 20, at=NOW - 3 * DAY_S)  # an old call that was written late
        await books.store.usage_rollups.forget(NOW - DAY_S)
        assert counted(path, "SELECT count(*) FROM usage") == 2, "nothing is rolled up yet"
        await books.store.usage_rollups.roll_up()
        await books.store.usage_rollups.forget(NOW - 10 * DAY_S)
        assert counted(path, "SELECT count(*) FROM usage") == 2, "nothing is so old"
        await books.store.usage_rollups.forget(NOW - DAY_S)
        assert [row["cost_nano"] for row in await books.store.usage.rows(UsageFilter(), 10)] == [20]
        assert await books.store.ledger.check() == []
        clock.advance(5 * DAY_S)
        await books.store.usage_rollups.forget(clock.now() - DAY_S)
        assert counted(path, "SELECT count(*) FROM usage") == 0
        assert (await books.store.usage.totals(UsageFilter(), "key")).total.cost_nano == 30
        assert await books.store.ledger.check() == []


async def test_the_background_rolls_up_and_forgets_by_itself(path: Path) -> None:
    clock = FakeClock(NOW)
    async with open_books(path, clock=clock) as books:
        await spend(books, 10)
        await spend(books, 20, at=NOW + 40 * DAY_S)
        clock.advance(32 * DAY_S)
        running = asyncio.create_task(books.store.usage_rollups.run(clock, 30 * DAY_S))
        try:
            async with asyncio.timeout(10):
                while counted(path, "SELECT count(*) FROM usage") == 2:
                    await asyncio.sleep(0)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        assert [row["cost_nano"] for row in await books.store.usage.rows(UsageFilter(), 10)] == [20]
        assert await books.store.ledger.check() == []


FORGERIES = {
    "a rolled-up cost": "UPDATE usage_rollups SET cost_nano = cost_nano + 1",
    "the cost of one level": "UPDATE usage_rollups SET cost_nano = cost_nano + 1 WHERE level = 'user_month'",
    "a day's calls": "UPDATE usage_rollups SET calls = calls + 1 WHERE level = 'usual_day'",
    "a day taken out": f"DELETE FROM usage_rollups WHERE level = 'usual_day' AND start < {int(NOW) - DAY_S}",
    "everything rolled up taken out": "DELETE FROM usage_rollups",
    "how far it is": "UPDATE meta SET value = 0 WHERE name = 'usage_rolled'",
    "a call that must be there": "DELETE FROM usage",
}


@pytest.mark.parametrize("name", FORGERIES)
async def test_the_ledger_check_sees_altered_roll_ups(name: str, path: Path) -> None:
    clock = FakeClock(NOW - 3 * DAY_S)
    async with open_books(path, clock=clock) as books:
        await spend(books, 10, at=clock.now())
        clock.advance(3 * DAY_S)
        await spend(books, 20)
        await books.store.usage_rollups.roll_up()
        await books.store.usage_rollups.forget(NOW - DAY_S)
        assert counted(path, "SELECT count(*) FROM usage") == 1
        assert await books.store.ledger.check() == []
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(FORGERIES[name])
        assert await books.store.ledger.check() != []


async def test_absurd_counts_do_not_break_the_sums(path: Path) -> None:
    async with open_books(path, clock=FakeClock(NOW)) as books:
        for _ in range(5):
            hold = await books.hold(1)
            await books.store.ledger.settle(hold, replace(record("req"), usage=Usage(2**70, 2**70), at=NOW))
        before = (await books.store.usage.totals(UsageFilter(), "model")).total
        await books.store.usage_rollups.roll_up()
        assert (await books.store.usage.totals(UsageFilter(), "model")).total == before
        assert before.calls == 5


async def test_groups_beyond_the_limit_are_in_the_total(path: Path) -> None:
    async with open_books(path, clock=FakeClock(NOW)) as books:
        for n in range(5):
            hold = await books.hold(n)
            await books.store.ledger.settle(hold, replace(record("req", cost_nano=n), model=f"m{n}", at=NOW))
        found = await books.store.usage.totals(UsageFilter(), "model", 2)
        assert [group.name for group in found.groups] == ["m4", "m3"]
        assert found.total.cost_nano == 10


async def test_calls_come_in_pages_that_neither_skip_nor_repeat(path: Path) -> None:
    async with open_books(path, clock=FakeClock(NOW)) as books:
        for n in range(7):
            await spend(books, n, at=NOW + n // 3)  # some at the same instant
        seen: list[object] = []
        after = None
        while rows := await books.store.usage.rows(UsageFilter(), 2, after):
            seen += [row["cost_nano"] for row in rows]
            after = cursor_of(rows[-1])
            await spend(books, 100, at=NOW + 50)  # newer ones do not move the older
        assert sorted(map(str, seen)) == sorted(map(str, range(7)))
        for junk in ("", "x", "0", "-1", "7 ", "1" * 19, "41da000000000000" + "7", "\u0661"):
            with pytest.raises(ClientError, match="next") as refused:
                await books.store.usage.rows(UsageFilter(), 2, junk)
            assert refused.value.code == "invalid_cursor"


@given(durations=st.lists(st.integers(0, 10**8), min_size=1, max_size=50), share=st.sampled_from([0.5, 0.95, 0.99]))
def test_a_percentile_lies_in_the_bucket_of_the_true_one(durations: list[int], share: float) -> None:
    counts = [0] * BUCKETS
    for ms in durations:
        counts[bisect_left(BOUNDS_MS, ms)] += 1
    true = next(ms for place, ms in enumerate(sorted(durations), 1) if place >= share * len(durations))
    bucket = bisect_left(BOUNDS_MS, true)
    said = percentile(counts, share)
    assert said is not None
    assert (BOUNDS_MS[bucket - 1] if bucket else 0) <= said <= BOUNDS_MS[bucket]


def test_no_calls_have_no_percentile_and_endless_ones_the_last_bound() -> None:
    assert percentile([0] * BUCKETS, 0.5) is None
    assert percentile([0] * (BUCKETS - 1) + [3], 0.5) == BOUNDS_MS[-1]


def test_a_step_grows_while_it_is_short_and_shrinks_when_calls_would_wait() -> None:
    steps = [STEP]
    for took_s in (0.001,) * 8:
        steps.append(next_step(steps[-1], took_s))
    assert steps[-1] == LONGEST_STEP
    assert next_step(LONGEST_STEP, 0.02) == LONGEST_STEP
    assert [next_step(800, 0.05), next_step(STEP, 0.05)] == [400, STEP]

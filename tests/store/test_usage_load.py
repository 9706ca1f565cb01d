"""A year of traffic: what is made in bulk is what calls would have made, and what is added up stays the same when the single
calls are gone."""

from __future__ import annotations

import asyncio
import importlib
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from relayhub.sdk.clock import SystemClock
from relayhub.store.engine import Engine
from relayhub.store.store import Store
from relayhub.store.usage import GROUPS, UsageFilter, UsageReport, UsageTotals, cursor_of
from relayhub.store.usage_levels import DAY_S, floor_day
from relayhub.store.usage_rollups import UsageRollups
from tests.store.usage_load import Load, make

LOAD = Load(1500, until=1_790_000_000.0, accounts=5, keys=20, models=6, users=60, left=100)
ROLLUPS = (
    "SELECT * FROM usage_rollups ORDER BY level, start, account_id, key_id, model, provider, operation, outcome, 9"
)
BLOCKS = "SELECT * FROM usage_blocks ORDER BY block"
BLOCK_VALUES = "SELECT * FROM usage_block_values ORDER BY dimension, value, block"
KEPT_DAYS = 30

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("year") / "usage.db"
    asyncio.run(make(path, LOAD))
    return path


@pytest.fixture
def path(year: Path, tmp_path: Path) -> Path:
    with closing(sqlite3.connect(year)) as connection:
        connection.execute("VACUUM INTO ?", (str(tmp_path / "usage.db"),))
    return tmp_path / "usage.db"


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Engine]:
    engine = Engine(path)
    try:
        yield engine
    finally:
        await engine.close()


def rollups(path: Path) -> list[tuple[Any, ...]]:
    return written(path, ROLLUPS)


def blocks(path: Path) -> list[tuple[Any, ...]]:
    return [*written(path, BLOCKS), *written(path, BLOCK_VALUES)]


def written(path: Path, statement: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement).fetchall()


def wiped(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


async def test_a_year_made_in_bulk_is_exact(path: Path) -> None:
    store = await Store.open(path, clock=SystemClock())
    try:
        assert await store.ledger.check() == []
        found = await store.usage.totals(UsageFilter(), "model")
    finally:
        await store.close()
    assert found.total.calls == LOAD.calls
    assert (len(found.groups), 0 < found.total.errors < LOAD.calls) == (LOAD.models, True)


@pytest.mark.parametrize(
    ("forged", "rule"),
    [
        ("DELETE FROM usage_block_values WHERE block = 3 AND dimension = 'model'", "a block names what its calls have"),
        ("UPDATE usage_blocks SET first_at = first_at + 1 WHERE block = 3", "a call lies in the time of its block"),
        ("UPDATE usage_blocks SET until_at = until_at * 2 WHERE block = 3", "blocks are in the order of time"),
    ],
)
async def test_the_ledger_check_looks_at_blocks(forged: str, rule: str, path: Path) -> None:
    wiped(path, forged)
    store = await Store.open(path, clock=SystemClock())
    try:
        assert {violation.rule for violation in await store.ledger.check()} == {rule}
    finally:
        await store.close()


async def test_small_steps_add_up_to_what_large_ones_do(path: Path) -> None:
    expected, found_by = rollups(path), blocks(path)
    wiped(path, "DELETE FROM usage_rollups", "DELETE FROM usage_blocks", "DELETE FROM usage_block_values")
    wiped(path, "DELETE FROM meta WHERE name = 'usage_rolled'")
    async with opened(path) as engine:
        for _ in range(2 * (LOAD.calls - LOAD.left) // 200):
            await UsageRollups(engine).roll_up()
    assert rollups(path) == expected
    assert blocks(path) == found_by


async def test_levels_that_came_later_are_made_of_those_before(path: Path) -> None:
    expected = rollups(path)
    wiped(path, "DELETE FROM usage_rollups WHERE level LIKE 'all%' OR level LIKE 'hub%' OR level LIKE 'client%'")
    assert rollups(path) != expected
    migration = importlib.import_module("relayhub.store.migrations.versions.v0008_usage_levels")
    for level, (source, known) in migration._LEVELS.items():
        for period in ("day", "month"):
            wiped(path, migration._added_up(f"{level}_{period}", f"{source}_{period}", known))
    assert rollups(path) == expected


async def test_a_year_stays_the_same_when_its_single_calls_are_gone(path: Path) -> None:
    """Asked in whole days, which is all that is kept of what is old; what is young is still there call by call."""
    before = await answers(path)
    keep_since = floor_day(LOAD.until - KEPT_DAYS * DAY_S)
    async with opened(path) as engine:
        while await UsageRollups(engine).roll_up():
            pass
    assert await answers(path) == before, "rolled up"
    async with opened(path) as engine:
        while await UsageRollups(engine).forget(keep_since):
            pass
    with closing(sqlite3.connect(path)) as connection:
        oldest, left = connection.execute("SELECT min(at), count(*) FROM usage").fetchone()
    assert oldest >= keep_since
    assert left < LOAD.calls / 8
    assert await answers(path) == before, "forgotten"
    store = await Store.open(path, clock=SystemClock())
    assert await store.ledger.check() == []
    await store.close()


async def answers(path: Path) -> dict[str, UsageTotals]:
    midnight = floor_day(LOAD.until)
    spans = {
        "all": UsageFilter(),
        "year": UsageFilter(LOAD.since, midnight),
        "some months": UsageFilter(midnight - 250 * DAY_S, midnight - 100 * DAY_S),
        "some days": UsageFilter(midnight - 45 * DAY_S, midnight - 3 * DAY_S),
        "today": UsageFilter(midnight, LOAD.until),
    }
    only: dict[str, dict[str, Any]] = {
        "": {},
        "account": {"account": "account 1"},
        "key": {"key": "key 3"},
        "user": {"user": "user-3"},
        "model": {"model": "model-2"},
        "tag": {"tag": "even"},
    }
    pairs = [(f"{span} {name}", replace(asked, **more)) for span, asked in spans.items() for name, more in only.items()]
    async with opened(path) as engine:
        report = UsageReport(engine)
        return {
            name: await report.totals(wanted, GROUPS[place % len(GROUPS)], 7)
            for place, (name, wanted) in enumerate(pairs)
        }


async def test_the_dearest_groups_are_the_same_ones_however_many_there_are(path: Path) -> None:
    """Those that are shown are the first of all, and the total is everybody's."""
    async with opened(path) as engine:
        report = UsageReport(engine)
        for group in ("key", "account", "user"):
            for since in (None, LOAD.until - 40 * DAY_S - 3600, LOAD.until - 1800):
                wanted = UsageFilter(since, None)
                everything, some = await report.totals(wanted, group), await report.totals(wanted, group, 4)
                assert some.groups == everything.groups[:4], group
                assert some.total == everything.total


OF_TAG = "key_id IN (SELECT keys.id FROM keys, json_each(tags) WHERE value = 'even')"


@pytest.mark.parametrize(
    ("wanted", "where"),
    [
        (UsageFilter(tag="even"), OF_TAG),
        (UsageFilter(tag="even", outcome="upstream_error"), f"{OF_TAG} AND outcome = 'upstream_error'"),
        (UsageFilter(tag="no-such"), "0"),
        (
            UsageFilter(tag="even", user="user-3", until=LOAD.until - 9 * DAY_S),
            f"{OF_TAG} AND user_identifier = 'user-3'",
        ),
        (UsageFilter(outcome="upstream_error"), "outcome = 'upstream_error'"),
        (UsageFilter(operation="image", model="model-2"), "operation = 'image' AND model = 'model-2'"),
        (
            UsageFilter(provider="provider-1", account="account 1"),
            "provider = 'provider-1' AND account_id = 'acct_0001'",
        ),
    ],
)
async def test_pages_have_each_call_once_newest_first(path: Path, wanted: UsageFilter, where: str) -> None:
    found, after = list[int](), None
    async with opened(path) as engine:
        while page := await UsageReport(engine).rows(wanted, 37, after):
            found += [int(str(row["id"])) for row in page]
            after = cursor_of(page[-1])
    until = "" if wanted.until is None else f" AND at < {wanted.until}"
    with closing(sqlite3.connect(path)) as connection:
        statement = f"SELECT id FROM usage WHERE {where}{until} ORDER BY id DESC"
        assert found == [row[0] for row in connection.execute(statement)]

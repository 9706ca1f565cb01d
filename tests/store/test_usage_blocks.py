"""Calls are found by blocks of ids: nobody may be able to tell that from looking at each of them."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any, TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Select, select
from sqlalchemy.dialects.sqlite import dialect

from relayhub.store.check_blocks import times_differing, times_returning, values_differing
from relayhub.store.connection import prepare_file, use_write_ahead_log
from relayhub.store.engine import Engine
from relayhub.store.migrate import migrate
from relayhub.store.schema import usage
from relayhub.store.usage import UsageFilter, UsageReport, cursor_of
from relayhub.store.usage_blocks import LOOKED_UP, SIZE, tail_of
from relayhub.store.usage_calls import calls
from relayhub.store.usage_filter import Condition, among, on_calls
from relayhub.store.usage_levels import DAY_S, Span, floor_day
from relayhub.store.usage_rollups import UsageRollups
from relayhub.types.errors import HubError
from tests.store.many_calls import ACCOUNTS, KEYS, MODELS, PROVIDERS, TAGS, add_calls, add_people
from tests.store.test_migrations import upgrade_to

NOW = datetime(2026, 3, 2, 15, 30, tzinfo=UTC).timestamp()

Call: TypeAlias = Mapping[str, Any]


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("empty") / "books.db"
    path.touch()
    migrate(path, NOW)
    add_people(path)
    return path


@pytest.fixture
def path(empty: Path, tmp_path: Path) -> Path:
    return copied(empty, tmp_path)


def copied(empty: Path, folder: Path) -> Path:
    for old in folder.glob("books.db*"):
        old.unlink()
    return Path(shutil.copy(empty, folder / "books.db"))


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Engine]:
    engine = Engine(path)
    try:
        yield engine
    finally:
        await engine.close()


def asked_of(path: Path, statement: str) -> list[Call]:
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(statement)]


def changed(path: Path, statement: str) -> int:
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(statement).rowcount


def all_calls(path: Path) -> list[Call]:
    """The newest first, each of them looked at."""
    return asked_of(path, "SELECT * FROM usage NOT INDEXED ORDER BY id DESC")


async def faults(engine: Engine) -> list[Any]:
    async with engine.reading() as connection:
        rules = (times_differing(), times_returning(), values_differing())
        return [row for rule in rules for row in (await connection.execute(rule)).all()]


def is_wanted(call: Call, wanted: UsageFilter) -> bool:
    exact = {
        name: value
        for name in ("account_id", "key_id", "model", "provider", "operation", "outcome")
        if (value := getattr(wanted, name)) is not None
    }
    return (
        all(call[name] == value for name, value in exact.items())
        and wanted.key in (None, f"key {call['key_id']}")
        and wanted.account in (None, f"account {call['account_id']}")
        and wanted.user in (None, call["user_identifier"] or "")
        and (wanted.tag is None or call["key_id"] in TAGS.get(wanted.tag, ()))
        and (wanted.since is None or call["at"] >= wanted.since)
        and (wanted.until is None or call["at"] < wanted.until)
    )


def a_filter(chance: Random, since: float) -> UsageFilter:
    """Times are mostly between ``since`` and now, in whichever order."""
    named: dict[str, Sequence[str]] = {
        "account_id": ACCOUNTS,
        "account": ["account a0", "nobody"],
        "key_id": KEYS,
        "key": ["key k2", "key k11", "nobody"],
        "model": [*MODELS, "no-such"],
        "provider": PROVIDERS,
        "operation": ["chat", "image", "speech"],
        "outcome": ["completed", "upstream_error"],
        "user": ["u0", "u1", "nobody", ""],
        "tag": [*TAGS, "no-such"],
    }
    only: dict[str, Any] = {name: chance.choice(some) for name, some in named.items() if chance.random() < 0.16}
    for end in ("since", "until"):
        if chance.random() < 0.4:
            only[end] = chance.uniform(since - DAY_S, NOW + DAY_S)
    return UsageFilter(**only)


SEEDS = st.integers(0, 2**32)
SLOW = settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(seed=SEEDS)
@SLOW
def test_the_same_calls_as_by_looking_at_each(seed: int, empty: Path, tmp_path: Path) -> None:
    asyncio.run(_compare_rows(copied(empty, tmp_path), Random(seed)))


async def _compare_rows(path: Path, chance: Random) -> None:
    days = chance.choice((0.1, 3, 30))
    async with opened(path) as engine:
        for _ in range(3):
            await _live_on(path, engine, chance, days)
            assert await faults(engine) == []
            kept = all_calls(path)
            for _ in range(12):
                wanted = a_filter(chance, NOW - days * DAY_S)
                expected = [call["id"] for call in kept if is_wanted(call, wanted)]
                assert await _paged(engine, wanted, chance.choice((3, 50, 1001)), 4) == expected, wanted


async def _paged(engine: Engine, wanted: UsageFilter, limit: int, pages: int) -> list[int]:
    """All ids: some pages of ``limit``, then the rest at once."""
    found, after = list[int](), None
    while rows := await UsageReport(engine).rows(wanted, limit if pages > 0 else 10**6, after):
        found += [int(str(row["id"])) for row in rows]
        after, pages = cursor_of(rows[-1]), pages - 1
    return found


async def _live_on(path: Path, engine: Engine, chance: Random, days: float) -> None:
    """Calls come, are rolled up as far as chance has it, and old ones are forgotten."""
    add_calls(path, chance, chance.choice((10, 300, 2500)), days=days, until=NOW)
    rollups = UsageRollups(engine)
    for _ in range(chance.randrange(5)):
        await rollups.roll_up(chance.choice((1, 100, SIZE, 3000, 10**6)))
    if chance.random() < 0.5:
        await rollups.forget(NOW - days * DAY_S * chance.random())


@given(seed=SEEDS)
@SLOW
def test_the_same_sums_as_by_looking_at_each(seed: int, empty: Path, tmp_path: Path) -> None:
    asyncio.run(_compare_sums(copied(empty, tmp_path), Random(seed)))


async def _compare_sums(path: Path, chance: Random) -> None:
    days = chance.choice((0.1, 3, 30))
    async with opened(path) as engine:
        made: dict[int, Call] = {}
        for _ in range(3):
            await _live_on(path, engine, chance, days)
            made.update({call["id"]: call for call in all_calls(path)})
            (since,) = asked_of(path, "SELECT coalesce(max(value), 0) AS at FROM meta WHERE name = 'usage_raw_since'")
            for _ in range(10):
                wanted = a_filter(chance, NOW - days * DAY_S)
                wanted = replace(wanted, since=max(wanted.since or 0, since["at"] + chance.random() * 9999))
                group = chance.choice(("key", "model", "provider", "outcome", "day"))
                found = (await UsageReport(engine).totals(wanted, group)).groups
                said = {one.name: (one.sum.calls, one.sum.cost_nano) for one in found}
                assert said == _added_up([call for call in made.values() if is_wanted(call, wanted)], group), wanted


def _added_up(kept: Sequence[Call], group: str) -> dict[str, tuple[int, int]]:
    costs: dict[str, list[int]] = defaultdict(list)
    for call in kept:
        match group:
            case "key":
                name = f"key {call['key_id']}"
            case "day":
                name = datetime.fromtimestamp(call["at"], UTC).date().isoformat()
            case _:
                name = call[group]
        costs[name].append(call["cost_nano"])
    return {name: (len(some), sum(some)) for name, some in costs.items()}


async def rolled_up(engine: Engine, step: int = 10**6) -> None:
    while await UsageRollups(engine).roll_up(step):
        pass


FORGERIES = {
    "a value is missing": "DELETE FROM usage_block_values WHERE dimension = 'key_id' AND value = 'k3' AND block = 4",
    "a value too many": "INSERT INTO usage_block_values VALUES ('model', 'm9', 4)",
    "a value of a block that is none yet": "INSERT INTO usage_block_values VALUES ('model', 'm1', 4000)",
    "a block is missing": "DELETE FROM usage_blocks WHERE block = 4",
    "it begins later": "UPDATE usage_blocks SET first_at = first_at + 500 WHERE block = 4",
    "it ends earlier": "UPDATE usage_blocks SET until_at = until_at - 500 WHERE block = 4",
    "it ends after later ones": "UPDATE usage_blocks SET until_at = until_at + 90000 WHERE block = 4",
    "all are taken for written": "UPDATE meta SET value = 10000000 WHERE name = 'usage_rolled'",
}


@pytest.mark.parametrize("name", FORGERIES)
async def test_the_ledger_check_sees_blocks_that_are_wrong(name: str, path: Path) -> None:
    add_calls(path, Random(1), 2000, days=0.3, until=NOW)
    async with opened(path) as engine:
        await rolled_up(engine)
        assert await faults(engine) == []
        assert changed(path, FORGERIES[name]) == 1
        assert await faults(engine) != []


async def test_what_a_block_does_not_name_is_not_found_in_it(path: Path) -> None:
    """So the comparisons above look at blocks, and not at each call."""
    add_calls(path, Random(1), 2000, days=0.3, until=NOW)
    mine = UsageFilter(key_id="k3", since=NOW - DAY_S, until=NOW)
    async with opened(path) as engine:
        await rolled_up(engine)
        before = await _paged(engine, mine, 10**4, 1)
        spent = (await UsageReport(engine).totals(mine, "model")).total.calls
        assert changed(path, FORGERIES["a value is missing"]) == 1
        hidden = [number for number in before if number // SIZE == 4]
        assert hidden
        assert await _paged(engine, mine, 10**4, 1) == [number for number in before if number not in hidden]
        assert (await UsageReport(engine).totals(mine, "model")).total.calls == spent - len(hidden)


async def test_a_block_is_written_once_all_of_it_is_rolled_up(path: Path) -> None:
    add_calls(path, Random(2), 1000, days=0.3, until=NOW)
    async with opened(path) as engine:
        for step in (SIZE - 1, 1, 1, 3 * SIZE - 2, 1):
            await UsageRollups(engine).roll_up(step)
            ((rolled,),) = [
                row.values() for row in asked_of(path, "SELECT value FROM meta WHERE name = 'usage_rolled'")
            ]
            expected = {call["id"] // SIZE for call in all_calls(path) if call["id"] < tail_of(rolled)}
            assert {row["block"] for row in asked_of(path, "SELECT block FROM usage_blocks")} == expected
            assert {row["block"] for row in asked_of(path, "SELECT block FROM usage_block_values")} == expected
            assert await faults(engine) == []


async def test_a_step_that_fails_writes_no_blocks(path: Path) -> None:
    add_calls(path, Random(3), 1000, days=0.3, until=NOW)
    trigger = "BEFORE INSERT ON meta WHEN new.name = 'usage_rolled' BEGIN SELECT RAISE(ABORT, 'no'); END"
    changed(path, f"CREATE TRIGGER broken {trigger}")
    async with opened(path) as engine:
        with pytest.raises(HubError):
            await rolled_up(engine)
        assert asked_of(path, "SELECT * FROM usage_blocks") == asked_of(path, "SELECT * FROM usage_block_values") == []
        changed(path, "DROP TRIGGER broken")
        await rolled_up(engine)
        assert len(asked_of(path, "SELECT * FROM usage_blocks")) > 3
        assert await faults(engine) == []


async def test_nothing_is_said_of_calls_that_are_forgotten(path: Path) -> None:
    add_calls(path, Random(4), 5000, days=30, until=NOW)
    async with opened(path) as engine:
        await rolled_up(engine)
        blocks = len(asked_of(path, "SELECT * FROM usage_blocks"))
        rollups = UsageRollups(engine)
        left = [len(all_calls(path))]
        while await rollups.forget(NOW - 9 * DAY_S):
            left.append(len(all_calls(path)))
            assert await faults(engine) == []
        assert {before - after for before, after in pairwise(left)} == {1000}
        assert 0 < len(asked_of(path, "SELECT * FROM usage_blocks")) < blocks / 2
        assert await faults(engine) == []
        midnight = floor_day(NOW - 9 * DAY_S)
        late = "SELECT usage.id FROM usage JOIN ledger USING (id) WHERE usage.at < {0} AND ledger.at >= {0} ORDER BY 1 DESC"
        kept = [call["id"] for call in all_calls(path) if call["at"] < midnight]
        assert kept == [call["id"] for call in asked_of(path, late.format(midnight))] != []
        while await rollups.forget(NOW + 90 * DAY_S):
            pass
        assert all_calls(path) == []
        assert asked_of(path, "SELECT * FROM usage_blocks") == asked_of(path, "SELECT * FROM usage_block_values") == []


async def test_calls_of_a_block_that_is_never_full_are_forgotten_too(path: Path) -> None:
    add_calls(path, Random(5), 20, days=3, until=NOW - 9 * DAY_S)
    async with opened(path) as engine:
        await rolled_up(engine)
        assert asked_of(path, "SELECT * FROM usage_blocks") == []
        await UsageRollups(engine).forget(NOW - DAY_S)
        assert all_calls(path) == []
        add_calls(path, Random(6), 600, days=1, until=NOW)
        await rolled_up(engine)
        assert await faults(engine) == []


WHERE = {
    "a key": [Condition("key_id", "k1")],
    "a key's model": [Condition("key_id", "k1"), Condition("model", "m1")],
    "all": [],
    "failures of a key": [Condition("key_id", "k1"), Condition("outcome", "upstream_error")],
    "a user": [Condition("user_identifier", "u1")],
}


@pytest.mark.parametrize("name", WHERE)
def test_sums_of_single_calls_never_read_all_of_them(name: str, path: Path) -> None:
    found, conditions = calls(WHERE[name], Span(NOW - 5000, NOW))
    plan = planned(path, select(usage.c.cost_nano).select_from(found).where(*conditions))
    assert [line for line in plan if "usage " in line or line.endswith("usage")] == [SEARCHED.get(name, BY_ID)]


BY_ID = "SEARCH usage USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"
SEARCHED = {
    "failures of a key": "SEARCH usage USING INDEX ix_usage_outcome (outcome=? AND rowid>? AND rowid<?)",
    "a user": "SEARCH usage USING INDEX ix_usage_user_identifier (user_identifier=? AND rowid>? AND rowid<?)",
}


def planned(path: Path, statement: Select[Any]) -> list[str]:
    made = statement.compile(dialect=dialect(), compile_kwargs={"literal_binds": True})
    return [row["detail"] for row in asked_of(path, f"EXPLAIN QUERY PLAN {made}")]


async def test_an_update_finds_the_calls_from_before_by_blocks(tmp_path: Path) -> None:
    """Those whose blocks were complete; later ones are written as if there had been no update."""
    path = tmp_path / "books.db"
    prepare_file(path)
    use_write_ahead_log(path)
    upgrade_to(path, "0010")
    add_people(path)
    _add_older(path, 3000)
    changed(path, "INSERT INTO meta (name, value) VALUES ('usage_rolled', 4000)")
    migrate(path, NOW)
    blocks = {row["block"] for row in asked_of(path, "SELECT block FROM usage_blocks")}
    assert blocks == set(range(tail_of(4000) // SIZE))
    indexes = {row["name"] for row in asked_of(path, "SELECT name FROM pragma_index_list('usage')")}
    assert indexes == {"ix_usage_outcome", "ix_usage_operation", "ix_usage_user_identifier"}
    async with opened(path) as engine:
        assert await faults(engine) == []
        await rolled_up(engine, 777)
        assert await faults(engine) == []
        assert len(asked_of(path, "SELECT * FROM usage_blocks")) > len(blocks)
        mine = [call["id"] for call in all_calls(path) if call["key_id"] == "k1"]
        assert mine == await _paged(engine, UsageFilter(key_id="k1"), 10, 5)


def _add_older(path: Path, count: int) -> None:
    """Calls of the release before, each a hold and its end."""
    rows = "(at, kind, account_id, key_id, hold_id, amount_nano) VALUES (:at, :kind, 'a1', :key, :hold, 0)"
    usage = (
        "INSERT INTO usage (hold_id, call_id, at, account_id, key_id, operation, dialect, model, provider, upstream_model, "
        "stream, outcome, measured, input_tokens, output_tokens, cached_tokens, cache_write_tokens, reasoning_tokens, "
        "cost_nano, shortfall_nano, price, attempts, duration_ms) VALUES (:hold, '', :at, 'a1', :key, 'chat', '', 'm', 'p', "
        "'m', 0, 'completed', 1, 1, 1, 0, 0, 0, 0, 0, '', 1, 1)"
    )
    made = [{"hold": f"hold_{n}", "at": NOW - count + n, "key": KEYS[n % 7]} for n in range(count)]
    with closing(sqlite3.connect(path)) as connection, connection:
        for call in made:
            for kind in ("hold", "release"):
                connection.execute(f"INSERT INTO ledger {rows}", {**call, "kind": kind})
        connection.executemany(usage, made)


async def test_a_block_names_each_thing_once(path: Path) -> None:
    add_calls(path, Random(8), 600, days=1, until=NOW)
    async with opened(path) as engine:
        await rolled_up(engine)
    (last,) = asked_of(path, "SELECT max(block) AS block FROM usage_blocks")
    for name in LOOKED_UP:
        said = f"SELECT value FROM usage_block_values WHERE dimension = '{name}' AND block = {last['block']}"
        there = {call[name] for call in all_calls(path) if call["id"] // SIZE == last["block"]}
        assert [row["value"] for row in asked_of(path, said)] == sorted(there)


def test_one_of_several_values_may_be_the_usual_one() -> None:
    """The usual one is ruled out, in the words of an index, only where another is asked for."""
    several, other = among("outcome", ["completed", "lost"]), Condition("outcome", "lost")
    asked = [" ".join(str(clause) for clause in on_calls([condition])) for condition in (several, other)]
    assert ["!= 'completed'" in text for text in asked] == [False, True]

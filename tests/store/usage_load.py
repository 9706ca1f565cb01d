"""A database as a hub leaves it after years of traffic, made by a few large statements instead of calls: every call has its
two ledger rows, one after the other, and its usage row, balances and keys add up, and roll-ups and blocks are written by the
product's own code."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from relayhub.store.engine import Engine
from relayhub.store.migrate import migrate
from relayhub.store.usage_levels import DAY_S, floor_day
from relayhub.store.usage_rollups import UsageRollups

AT_ONCE = 200_000
"""Calls per statement."""


@dataclass(frozen=True)
class Load:
    """``calls`` evenly spread over the ``days`` before ``until``. Keys belong to accounts in turn, users to keys; a key calls
    three of the models, the first of them most. ``left``: of the calls, the newest that are not rolled up yet."""

    calls: int
    until: float
    days: int = 365
    accounts: int = 100
    keys: int = 1000
    models: int = 20
    providers: int = 4
    users: int = 5000
    left: int = 1000

    @property
    def since(self) -> int:
        return floor_day(self.until - self.days * DAY_S)


async def make(path: Path, load: Load) -> None:
    path.touch()
    migrate(path, load.until)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -200000", "temp_store = MEMORY"):
            connection.execute(f"PRAGMA {pragma}")
        _people(connection, load)
        with _without_indexes(connection):
            for first in range(0, load.calls, AT_ONCE):
                _calls(connection, load, first, min(AT_ONCE, load.calls - first))
        _balances(connection)
        connection.execute("PRAGMA journal_mode = WAL")
    await _roll_up(path, load)


def _people(connection: sqlite3.Connection, load: Load) -> None:
    connection.executemany(
        "INSERT INTO accounts (id, name, unlimited, total_nano, used_nano, held_nano, created_at)"
        " VALUES (?, ?, 0, 0, 0, 0, ?)",
        ((f"acct_{n:04}", f"account {n}", load.since) for n in range(load.accounts)),
    )
    connection.executemany(
        "INSERT INTO keys (id, account_id, name, hash, hint, used_nano, held_nano, created_at, revision, tags)"
        " VALUES (?, ?, ?, ?, '', 0, 0, ?, 1, ?)",
        (
            (f"key_{n:05}", f"acct_{n % load.accounts:04}", f"key {n}", f"hash {n}", load.since, _tags(n))
            for n in range(load.keys)
        ),
    )


def _tags(key: int) -> str | None:
    """One key in ten has none, others have one of twenty and perhaps a second one."""
    if key % 10 == 0:
        return None
    return f'["tag {key % 20}"]' if key % 3 else f'["even", "tag {key % 20}"]'


@contextmanager
def _without_indexes(connection: sqlite3.Connection) -> Iterator[None]:
    """They are made faster afterwards than kept up with every row."""
    indexes = connection.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name IN ('usage', 'ledger') AND sql IS NOT NULL"
    ).fetchall()
    for name, _ in indexes:
        connection.execute(f"DROP INDEX {name}")
    yield
    for _, statement in indexes:
        connection.execute(statement)


_CALLS = """
WITH RECURSIVE numbers(n) AS (SELECT :first UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < :first + :count),
dice AS (
  SELECT n, (n * 2654435761 + 12345) % 4294967291 AS a, (n * 2246822519 + 777) % 4294967279 AS b,
         (n * 3266489917 + 99) % 4294967197 AS c FROM numbers
),
chosen AS (
  SELECT n, a, b, c, min(a % :keys, b / 7 % :keys) AS key, :since + n * :step AS at,
         min(c % 3, c / 5 % 3) AS favourite, c / 11 % 40 = 0 AS failed, b / 13 % 25 = 0 AS image
  FROM dice
)
INSERT INTO made
SELECT n, 2 * n + 1, printf('req_%026d', n), at,
       printf('acct_%04d', key % :accounts), printf('key_%05d', key),
       image, printf('model-%d', (key + favourite) % :models),
       printf('provider-%d', (key + favourite + c / 50 % 2) % :providers),
       failed,
       CASE WHEN a / 17 % 2 THEN printf('user-%d', key + :keys * (b / 19 % max(:users / :keys, 1))) END,
       CASE WHEN failed THEN 0 ELSE 50 + a / 23 % 3000 END, CASE WHEN failed OR image THEN 0 ELSE b / 29 % 1500 END,
       CASE WHEN failed THEN 0 ELSE 1000 + c / 31 % 5000000 END,
       30 + (a / 37 % 1000) * (b / 41 % 1000) / 40
FROM chosen
"""

_MADE = """
CREATE TEMP TABLE IF NOT EXISTS made
(n, hold_id, call_id, at, account_id, key_id, image, model, provider, failed, user, input, output, cost, ms)
"""

_LEDGER = """
INSERT INTO ledger (id, at, kind, account_id, key_id, hold_id, call_id, amount_nano)
SELECT hold_id + place, at, kind, account_id, key_id, hold_id, call_id, CASE WHEN place THEN cost ELSE 5001000 END
FROM (
  SELECT 0 AS place, at, 'hold' AS kind, account_id, key_id, hold_id, call_id, cost FROM made
  UNION ALL SELECT 1, at, 'settlement', account_id, key_id, hold_id, call_id, cost FROM made
) ORDER BY hold_id, place
"""

_USAGE = """
INSERT INTO usage
  (id, call_id, at, account_id, key_id, operation, dialect, model, provider, upstream_model, stream, outcome, measured,
   input_tokens, output_tokens, cached_tokens, cache_write_tokens, reasoning_tokens, cost_nano, shortfall_nano, price,
   attempts, status, error_code, user_identifier, first_byte_ms, duration_ms, media, price_version, upstream_cost_nano)
SELECT hold_id + 1, call_id, at, account_id, key_id, CASE WHEN image THEN 'image' ELSE 'chat' END, 'openai.chat', model,
   provider, model, n % 2, CASE WHEN failed THEN 'upstream_error' ELSE 'completed' END, NOT failed,
   input, output, input / 4, 0, output / 3, cost, 0, '1 * input',
   1, CASE WHEN failed THEN 502 ELSE 200 END, CASE WHEN failed THEN 'upstream_error' END, user, ms / 3, ms,
   CASE WHEN image THEN '{"images": 1}' END, 'v1', CASE WHEN image THEN cost / 2 END
FROM made ORDER BY n
"""


def _calls(connection: sqlite3.Connection, load: Load, first: int, count: int) -> None:
    connection.execute("BEGIN")
    connection.execute(_MADE)
    connection.execute("DELETE FROM temp.made")
    values = {"first": first, "count": count, "since": load.since, "step": (load.until - load.since) / load.calls}
    names = ("keys", "accounts", "models", "providers", "users")
    connection.execute(_CALLS, {**values, **{name: getattr(load, name) for name in names}})
    connection.execute(_LEDGER)
    connection.execute(_USAGE)
    connection.execute("COMMIT")


_BALANCES = """
UPDATE keys SET used_nano = coalesce((SELECT spent FROM temp.spent WHERE key_id = keys.id), 0);
UPDATE accounts SET used_nano = (SELECT coalesce(sum(used_nano), 0) FROM keys WHERE account_id = accounts.id),
  total_nano = (SELECT coalesce(sum(used_nano), 0) FROM keys WHERE account_id = accounts.id) + 1000000000000;
INSERT INTO ledger (at, kind, account_id, amount_nano, actor, reason)
  SELECT created_at, 'grant', id, total_nano, 'load', 'to begin with' FROM accounts;
"""


def _balances(connection: sqlite3.Connection) -> None:
    """What was spent, and the grants that it was spent from."""
    connection.execute("CREATE TEMP TABLE spent AS SELECT key_id, sum(cost_nano) AS spent FROM usage GROUP BY key_id")
    connection.execute("CREATE INDEX temp.spent_key ON spent (key_id)")
    connection.executescript(_BALANCES)


async def _roll_up(path: Path, load: Load) -> None:
    engine = Engine(path)
    try:
        rollups = UsageRollups(engine)
        left = 2 * (load.calls - load.left)
        while left > 0:
            step = min(left, AT_ONCE)
            await rollups.roll_up(step)
            left -= step
    finally:
        await engine.close()

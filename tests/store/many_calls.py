"""Some thousand calls as rows, made without calls: ids with gaps, times out of order, values that are common and rare."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random

from relayhub.store.usage_levels import DAY_S

ACCOUNTS = ("a0", "a1", "a2")
KEYS = tuple(f"k{number}" for number in range(12))
MODELS = ("m0", "m1", "m2", "m3")
PROVIDERS = ("p0", "p1", "p2")
TAGS = {"many": KEYS[:6], "two": KEYS[10:], "one": KEYS[3:4], "idle": ("k_idle", "k_other")}

_LEDGER = (
    "INSERT INTO ledger (id, at, kind, account_id, key_id, hold_id, call_id, amount_nano) "
    "VALUES (:id, :written, 'settlement', :account_id, :key_id, :hold_id, :call_id, :cost_nano)"
)
_USAGE = (
    "INSERT INTO usage (id, call_id, at, account_id, key_id, operation, dialect, model, provider, upstream_model, stream, "
    "outcome, measured, input_tokens, output_tokens, cached_tokens, cache_write_tokens, reasoning_tokens, cost_nano, "
    "shortfall_nano, price, attempts, user_identifier, duration_ms) VALUES (:id, :call_id, :at, :account_id, :key_id, "
    ":operation, '', :model, :provider, '', 0, :outcome, 1, 1, 1, 0, 0, 0, :cost_nano, 0, '', 1, :user_identifier, 7)"
)


def add_people(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for account in ACCOUNTS:
            connection.execute(
                "INSERT INTO accounts (id, name, unlimited, total_nano, used_nano, held_nano, created_at) "
                "VALUES (?, ?, 0, 0, 0, 0, 1)",
                (account, f"account {account}"),
            )
        for key in (*KEYS, *TAGS["idle"]):
            tags = [f'"{tag}"' for tag, tagged in TAGS.items() if key in tagged]
            connection.execute(
                "INSERT INTO keys (id, account_id, name, hash, hint, used_nano, held_nano, created_at, revision, tags) "
                "VALUES (?, ?, ?, ?, '', 0, 0, 1, 1, ?)",
                (key, _account(key), f"key {key}", key, f"[{','.join(tags)}]"),
            )


def add_calls(path: Path, chance: Random, count: int, *, days: float, until: float) -> None:
    """``days``: over which they are spread. The rows of the ledger between them are left out."""
    with closing(sqlite3.connect(path)) as connection, connection:
        newest = connection.execute("SELECT coalesce(max(id), 0) FROM ledger").fetchone()[0]
        calls = list(_calls(chance, newest, count, days, until))
        connection.executemany(_LEDGER, calls)
        connection.executemany(_USAGE, calls)


def _calls(chance: Random, number: int, count: int, days: float, until: float) -> Iterator[dict[str, object]]:
    for place in range(count):
        number += chance.choice((1, 2, 2, 2, 3, 700 if chance.random() < 0.002 else 1))
        written = until - days * DAY_S * (1 - place / count)
        ended = written - chance.random() * 100 - (DAY_S * chance.randrange(-3, 9) if chance.random() < 0.02 else 0)
        rare = place * 7 // count % 3 == 0
        key = chance.choice(KEYS[:9]) if chance.random() < 0.99 else chance.choice(KEYS)
        yield {
            "id": number,
            "call_id": f"req_{number}",
            "hold_id": -number,
            "at": ended,
            "written": written,
            "account_id": _account(key),
            "key_id": key,
            "operation": "image" if chance.random() < 0.05 else "chat",
            "model": "m3" if rare and chance.random() < 0.02 else chance.choice(MODELS[:3]),
            "provider": chance.choice(PROVIDERS) if rare else "p0",
            "outcome": "upstream_error" if chance.random() < 0.03 else "completed",
            "cost_nano": chance.randrange(1000),
            "user_identifier": chance.choice((None, "u0", "u1")),
        }


def _account(key: str) -> str:
    return ACCOUNTS[len(key) % 2 if "_" in key else int(key[1:]) % 3]

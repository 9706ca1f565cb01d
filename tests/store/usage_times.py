"""How long the questions take that a console asks about a long history: see scripts/usage-load."""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from relayhub.accounts.usage_sheet import csv_text
from relayhub.sdk.clock import SystemClock
from relayhub.store.store import Store
from relayhub.store.usage import UsageFilter
from relayhub.store.usage_levels import DAY_S
from tests.store.usage_load import Load, make

MOST_S = 0.3
PAGE = 101
TIMES = 5

Ask: TypeAlias = Callable[[], Awaitable[object]]

SPANS: Mapping[str, int] = {"hour": 3600, "day": DAY_S, "month": 30 * DAY_S, "year": 365 * DAY_S}

TOTALS: Mapping[str, tuple[dict[str, str], str]] = {
    **{
        f"by {group}": ({}, group) for group in ("model", "provider", "outcome", "account", "key", "user", "tag", "day")
    },
    "of a key by model": ({"key": "key 7"}, "model"),
    "of a key by day": ({"key": "key 7"}, "day"),
    "of an account by key": ({"account_id": "acct_0007"}, "key"),
    "of an account by user": ({"account_id": "acct_0007"}, "user"),
    "of an account by day": ({"account_id": "acct_0007"}, "day"),
    "of an account's model by key": ({"account_id": "acct_0007", "model": "model-7"}, "key"),
    "of a user by day": ({"user": "user-7"}, "day"),
    "of a user by model": ({"user": "user-7"}, "model"),
    "of a model by account": ({"model": "model-7"}, "account"),
    "of a model by day": ({"model": "model-7"}, "day"),
    "of a tag by model": ({"tag": "tag 7"}, "model"),
    "of failures by provider": ({"outcome": "upstream_error"}, "provider"),
}

ROWS: Mapping[str, dict[str, str]] = {
    "of all": {},
    "of a key": {"key": "key 7"},
    "of an account": {"account": "account 7"},
    "of a model": {"model": "model-7"},
    "of an unknown model": {"model": "no-such"},
    "of a provider": {"provider": "provider-1"},
    "of failures": {"outcome": "upstream_error"},
    "of an outcome that is not there": {"outcome": "lost"},
    "of images": {"operation": "image"},
    "of speech, of which there is none": {"operation": "speech"},
    "of a user": {"user": "user-7"},
    "of a tag": {"tag": "tag 7"},
    "of a key's failures": {"key": "key 7", "outcome": "upstream_error"},
    "of an account's model": {"account_id": "acct_0007", "model": "model-7"},
}


@dataclass(frozen=True)
class Timed:
    """Seconds, of the clock and of this process's own work, each as often as it was asked."""

    question: str
    taken_s: tuple[float, ...]
    worked_s: tuple[float, ...]

    @property
    def best_s(self) -> float:
        return min(self.taken_s)

    def __str__(self) -> str:
        figures = (statistics.median(self.taken_s), max(self.taken_s), statistics.median(self.worked_s))
        return "".join(f"{figure * 1000:9.0f}" for figure in figures) + f"  {self.question}"


def questions(store: Store, until: float) -> Iterator[tuple[str, Ask]]:
    usage = store.usage
    for span, length_s in SPANS.items():
        for name, (only, group) in TOTALS.items():
            wanted = UsageFilter(until - length_s, until, **only)
            yield f"totals {name}, {span}", lambda wanted=wanted, group=group: usage.totals(wanted, group, 100)  # type: ignore[misc]
    for name, only in ROWS.items():
        wanted = UsageFilter(until - SPANS["year"], until, **only)
        yield f"newest calls {name}, year", lambda wanted=wanted: usage.rows(wanted, PAGE)  # type: ignore[misc]
    yield "a page of 1 000 calls as CSV", lambda: _csv(store, UsageFilter())
    yield "a page of 1 000 calls of an account as CSV", lambda: _csv(store, UsageFilter(account_id="acct_0007"))
    yield "/api/user/quota", lambda: _quota(store)


async def _csv(store: Store, wanted: UsageFilter) -> str:
    rows = await store.usage.rows(wanted, 1001)
    return csv_text(list(rows[0]), rows)


async def _quota(store: Store) -> object:
    return await store.keys.get("key_00007"), await store.accounts.get("acct_0007")


async def times(path: Path, until: float, *, repeat: int) -> list[Timed]:
    store = await Store.open(path, clock=SystemClock())
    try:
        return [
            Timed(name, *zip(*[await _time(ask) for _ in range(repeat)], strict=True))
            for name, ask in questions(store, until)
        ]
    finally:
        await store.close()


async def _time(ask: Ask) -> tuple[float, float]:
    began, worked = time.perf_counter(), time.process_time()
    await ask()
    return time.perf_counter() - began, time.process_time() - worked


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/usage-load", description=__doc__)
    parser.add_argument("calls", type=float, nargs="?", default=0.1, help="How many millions of calls.")
    parser.add_argument("--keep", type=Path, help="Where the database is made, and left; used again if it is there.")
    asked = parser.parse_args()
    load = Load(int(asked.calls * 1_000_000), until=1_790_000_000.0)
    with tempfile.TemporaryDirectory() as folder:
        path = asked.keep or Path(folder) / "usage.db"
        if not path.exists():
            began = time.monotonic()
            asyncio.run(make(path, load))
            sys.stdout.write(f"{load.calls} calls made in {time.monotonic() - began:.0f} s\n")
        sys.stdout.write(
            f"{path.stat().st_size / 2**20:.0f} MiB\n   median     most      CPU  (ms, of {TIMES}; CPU: the median)\n"
        )
        found = asyncio.run(times(path, load.until, repeat=TIMES))
    slow = [one for one in found if statistics.median(one.taken_s) > MOST_S]
    sys.stdout.write("\n".join([*map(str, found), f"slower than {MOST_S * 1000:.0f} ms: {len(slow)}"]) + "\n")
    sys.exit(1 if slow else 0)


if __name__ == "__main__":
    main()

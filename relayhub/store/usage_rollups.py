"""Writing the roll-ups of usage and its blocks, and forgetting single calls that are old and rolled up.

Every process does both, beside the others: a step is one transaction that begins where the last one, of whichever process,
ended. So each call is added exactly once, and a step that is done again, or after a crash, finds nothing to do.
"""

from __future__ import annotations

from functools import cache

import structlog
from sqlalchemy import Insert, TextClause, column, func, insert, literal_column, select, table, text
from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from relayhub.sdk.clock import Clock
from relayhub.store.async_connection import AsyncConnection
from relayhub.store.engine import Engine
from relayhub.store.schema import ledger, meta
from relayhub.store.usage_blocks import forget_calls, write_blocks
from relayhub.store.usage_levels import DIMENSIONS, LEVELS, Level, floor_day
from relayhub.store.usage_sums import RAW_SINCE, ROLLED, SUMS, day_of, ended, mark, raw_sums, user_of
from relayhub.types.errors import HubError

EVERY_S = 60.0
PAUSE_S = 0.1
"""Between two steps of a long way: calls need the file too."""

STEP = 200
"""Ledger rows that one transaction looks at at first, about half of them ends of calls."""

LONGEST_STEP = 8000
SHORT_S, LONG_S = 0.01, 0.03
"""A step that takes less is made longer the next time, for its price is mostly that of the groups it touches; one that takes
more is made shorter, for calls wait meanwhile."""

FORGOTTEN_AT_ONCE = 1000

log = structlog.get_logger("relayhub.store")


class UsageRollups:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def roll_up(self, step: int = STEP) -> bool:
        """Add the next calls to their days and months; whether there may be more. ``step``: how many ledger rows to look at;
        calls wait meanwhile."""
        async with self._engine.writing() as connection:
            before = await _read(connection, ROLLED)
            newest: int = (await connection.execute(select(func.coalesce(func.max(ledger.c.id), 0)))).scalar_one()
            up_to = min(newest, before + step)
            if up_to > before:
                await connection.exec_driver_sql(_MAKE_STEP)
                await connection.exec_driver_sql(_CLEAR_STEP)
                await connection.execute(_take_step().bindparams(after=before, up_to=up_to))
                for upsert in _UPSERTS:
                    await connection.exec_driver_sql(upsert)
                await write_blocks(connection, before, up_to)
                await connection.execute(_set(ROLLED, up_to))
        return up_to < newest

    async def forget(self, before: float) -> bool:
        """Delete some rows of calls that ended and were written before the day of ``before``, and are rolled up; whether
        there may be more."""
        midnight = floor_day(before)
        async with self._engine.writing() as connection:
            if midnight > await _read(connection, RAW_SINCE):
                await connection.execute(_set(RAW_SINCE, midnight))
            gone = await forget_calls(connection, midnight, await _read(connection, ROLLED), FORGOTTEN_AT_ONCE)
        return gone >= FORGOTTEN_AT_ONCE

    async def catch_up(self, clock: Clock, keep_s: float) -> None:
        """Roll up all that there is, then forget all that is older than ``keep_s``. Raises ``HubError``."""
        step, more = STEP, True
        while more:
            began = clock.monotonic()
            more = await self.roll_up(step)
            step = next_step(step, clock.monotonic() - began)
            if more:
                await clock.sleep(PAUSE_S)
        while await self.forget(clock.now() - keep_s):
            await clock.sleep(PAUSE_S)

    async def run(self, clock: Clock, keep_s: float) -> None:
        """Until cancelled. A store in trouble is met again next time."""
        while True:
            await clock.sleep(EVERY_S)
            try:
                await self.catch_up(clock, keep_s)
            except HubError as error:
                log.warning("usage.roll_up_delayed", detail=error.detail)


def next_step(step: int, took_s: float) -> int:
    """How many rows to look at next."""
    if took_s < SHORT_S:
        return min(2 * step, LONGEST_STEP)
    return max(step // 2, STEP) if took_s > LONG_S else step


async def _read(connection: AsyncConnection, name: str) -> int:
    return (await connection.execute(select(mark(name)))).scalar_one()


def _set(name: str, value: int) -> Insert:
    statement = sqlite_insert(meta).values(name=name, value=value)
    return statement.on_conflict_do_update(index_elements=["name"], set_={"value": statement.excluded.value})


def _start(level: Level) -> str:
    return "CAST(strftime('%s', start, 'unixepoch', 'start of month') AS INTEGER)" if level.monthly else "start"


def _upsert(level: Level) -> str:
    """Of what is in the temporary table. Plain SQL, because its text is long and always the same."""
    groups = [_start(level), *(name if name in level.knows else "''" for name in DIMENSIONS)]
    known = [_start(level), *(name for name in DIMENSIONS if name in level.knows)]
    return (
        f"INSERT INTO usage_rollups (level, start, {', '.join((*DIMENSIONS, *SUMS))}) "  # noqa: S608  # constants
        f"SELECT '{level.name}', {', '.join(groups)}, {', '.join(f'sum({name})' for name in SUMS)} "
        f"FROM temp.usage_step WHERE true GROUP BY {', '.join(known)} "
        f"ON CONFLICT (level, start, {', '.join(DIMENSIONS)}) "
        f"DO UPDATE SET {', '.join(f'{name} = {name} + excluded.{name}' for name in SUMS)}"
    )


_STEP_COLUMNS = ("start", *DIMENSIONS, *SUMS)
_MAKE_STEP = f"CREATE TEMP TABLE IF NOT EXISTS usage_step ({', '.join(_STEP_COLUMNS)})"
_CLEAR_STEP = "DELETE FROM temp.usage_step"
_STEP = table("usage_step", *(column(name) for name in _STEP_COLUMNS))
_UPSERTS = tuple(map(_upsert, LEVELS))


@cache
def _take_step() -> TextClause:
    """Calls that ended after ``:after`` and up to ``:up_to``, by day and all that can be told apart, to be added to each
    level. Text for good: to build it costs as much as to run it."""
    rows = ended(literal_column(":after"), literal_column(":up_to"))
    by = [day_of(rows.c.at).label("start"), *(rows.c[name] for name in DIMENSIONS[:-1])]
    step = insert(_STEP).from_select(_STEP_COLUMNS, raw_sums(rows, [*by, user_of(rows).label(DIMENSIONS[-1])], ()))
    return text(str(step.compile(dialect=sqlite_dialect(), compile_kwargs={"literal_binds": True})))

"""Counting attempts at what must not be guessed, for all processes together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from relayhub.sdk.clock import Clock
from relayhub.store.engine import Engine
from relayhub.store.rows import storable
from relayhub.store.schema import attempts

MAX_SUBJECT = 200
"""Characters of a subject: names that people make up may be longer."""


class Attempts:
    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    async def take(self, limits: Mapping[str, int], window_s: float) -> float | None:
        """Count one attempt for each subject, before it is made, so that many at once are counted too. Answers ``None``, or
        after how many seconds to try again if one of them has had its number in its window; nothing is counted then."""
        now = self._clock.now()
        wanted = {_key(subject): limit for subject, limit in limits.items()}
        async with self._engine.writing() as connection:
            await connection.execute(delete(attempts).where(attempts.c.until <= now))
            rows = await connection.execute(
                select(attempts.c.subject, attempts.c.count, attempts.c.until).where(attempts.c.subject.in_(wanted))
            )
            waits = [float(until) - now for subject, count, until in rows if count >= wanted[subject]]
            if waits:
                return max(waits)
            for subject in wanted:
                first = sqlite_insert(attempts).values(subject=subject, count=1, until=now + window_s)
                more = {"count": attempts.c.count + 1}
                await connection.execute(first.on_conflict_do_update(index_elements=["subject"], set_=more))
        return None

    async def give_back(self, subjects: Sequence[str]) -> None:
        """The attempt was no guess."""
        which = attempts.c.subject.in_([_key(subject) for subject in subjects])
        async with self._engine.writing() as connection:
            less = update(attempts).where(which, attempts.c.count > 0).values(count=attempts.c.count - 1)
            await connection.execute(less)


def _key(subject: str) -> str:
    return storable(subject[:MAX_SUBJECT])

"""A store whose process can die, without a process of its own: its writer's thread ends at a step and drops its connection,
as under SIGKILL, and what it left is taken for a dead process's."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from relayhub.store.steps import STEPS
from relayhub.store.store import Store
from relayhub.store.windows import UTC_CALENDAR, Calendar
from relayhub.testing import FakeClock

T = TypeVar("T")

DURABLE = STEPS[STEPS.index("after_commit") :]
"""Whoever dies at one of these has committed."""

ON_LOOP = "after_acknowledge"

THREAD_DIES = "ignore:Exception in thread relayhub-ledger:pytest.PytestUnhandledThreadExceptionWarning"
"""A filter of warnings, for tests that let it die."""


@dataclass(frozen=True)
class Died:
    """``durable``: what was under way had been committed."""

    durable: bool


@dataclass
class Mortal:
    """``doom``: the step at which the next transaction of the writer ends the process."""

    path: Path
    clock: FakeClock
    calendar: Calendar = UTC_CALENDAR
    doom: str | None = None
    _dead: asyncio.Event = field(default_factory=asyncio.Event)
    _store: Store | None = None

    @property
    def store(self) -> Store:
        assert self._store is not None
        return self._store

    async def open(self) -> None:
        """Whoever had it before is dead."""
        self._bury()
        self.doom = None
        self._dead.clear()
        self._loop = asyncio.get_running_loop()
        self._store = await Store.open(
            self.path, durability="process", clock=self.clock, on_step=self._step, calendar=self.calendar
        )

    def _step(self, name: str) -> None:
        if name != self.doom or self._store is None:
            return
        if name == ON_LOOP:
            self._dead.set()
            return
        self._store._writer._disconnect()
        self._loop.call_soon_threadsafe(self._dead.set)
        raise SystemExit  # of this thread alone

    async def attempt(self, work: Awaitable[T]) -> T | Died:
        """Its result, or that the process died meanwhile; then there is no store until :meth:`open`. May raise what ``work``
        raises."""
        doom = self.doom
        doing, dying = asyncio.ensure_future(work), asyncio.create_task(self._dead.wait())
        await asyncio.wait([doing, dying], return_when=asyncio.FIRST_COMPLETED)
        if not self._dead.is_set():
            dying.cancel()
            return await doing
        if doom != ON_LOOP:  # otherwise it has its answer, and nobody else does
            doing.cancel()
        await asyncio.wait([doing])
        if not doing.cancelled():
            doing.exception()
        await self.die()
        return Died(doom in DURABLE)

    async def die(self) -> None:
        """Nothing is written any more, and nobody says goodbye."""
        store, self._store = self.store, None
        writing = store._writer._thread
        if self._dead.is_set() and self.doom != ON_LOOP:
            await asyncio.to_thread(writing.join)
        else:
            await store._writer.close()
        await store._engine.close()

    async def leave(self) -> None:
        """Close in good order, as at the end of the process."""
        self.doom = None
        store, self._store = self.store, None
        await store.close()

    def _bury(self) -> None:
        """To whoever comes now, the processes before have ended: their pids were given away again."""
        if self.path.exists():
            with closing(sqlite3.connect(self.path)) as connection, connection:
                connection.execute("UPDATE epochs SET started = started || '-' WHERE id <> 'jobs'")

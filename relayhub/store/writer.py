"""The one writer of this process: a thread that commits whatever is waiting in one transaction.

Callers hand in intents, and get a future or are called back; the thread takes what has gathered, decides it in order,
commits, and answers all of it at once. While it commits, the next batch gathers, so the cost of a commit is shared by
however many calls there are.

When a transaction fails as a whole (locked, disk full, read-only), new requests are refused: nothing is sent upstream
without a hold. Settlements and releases stay, in order, until they are written or the process closes.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, TypeAlias, TypeVar

import msgspec
import structlog

from relayhub.sdk.clock import Clock
from relayhub.store import refusals
from relayhub.store.batch import Answer, Batch
from relayhub.store.call_batch import CallBatch
from relayhub.store.connection import LOCK_WAIT_S, is_busy, is_of_the_disk
from relayhub.store.epoch import Epoch
from relayhub.store.intents import Barrier, EndHold, Intent, OpenHold
from relayhub.store.known import Known
from relayhub.store.patience import Patience
from relayhub.store.steps import no_step
from relayhub.store.syncing import Syncing
from relayhub.store.windows import UTC_CALENDAR, Calendar
from relayhub.types import limits
from relayhub.types.call import UsageRecord
from relayhub.types.errors import RelayhubError

T = TypeVar("T")

FAILING_LOCK_WAIT_S = 0.5
"""Once a transaction has failed, new requests are refused soon instead of each waiting its turn for the lock."""

CLOSE_WAIT_S = 5.0
"""How long a closing process goes on trying to write what it has."""

FRESH_S = 0.25
"""For so long a commit proves that the store works."""

CROWD = 8
"""Items in one transaction from which on it is worth to wait a little before the next."""

LINGER_S = 0.005
"""So long at most, or until as many have come as can be expected: what a transaction costs is shared by more of them."""

FEW_LINGER_S = 0.0005
"""So long for each item where they are fewer, if such waits have paid of late."""

COMPANY_S = 0.01
"""So long what is patient waits for others, where such waits have paid of late. Whatever is not takes it along at once."""

LIVELY_S = 0.05
"""So long after a transaction there may be others."""

_NEVER = sys.maxsize

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 1.0
_NOT_THE_DATABASE = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.DataError, sqlite3.InterfaceError)
"""Errors about one item's values; all other SQLite errors are about the file and may pass."""

log = structlog.get_logger("relayhub.store")


Told: TypeAlias = "Callable[[Answer], None]"
"""Called on the loop, once, with what has become of an item. It should not raise."""

_Item: TypeAlias = "tuple[Intent[Any], Told]"


class _Done(msgspec.Struct, frozen=True):
    """What one transaction came to: an answer per item, and the usage rows it wrote."""

    items: Sequence[_Item]
    answers: Sequence[Answer]
    records: Sequence[UsageRecord]


class Writer:
    """Created and used on one event loop; only ``_run`` and what it calls happen in the thread.

    ``on_records`` is called on the loop after each commit, once for every usage row. ``connect`` is called in the
    thread, again after each failure that was not a lock. ``syncing``: of what it connects to. ``turns``: held for each
    transaction."""

    def __init__(
        self,
        connect: Callable[[], sqlite3.Connection],
        syncing: Syncing,
        epoch: Epoch,
        clock: Clock,
        *,
        on_records: Callable[[Sequence[UsageRecord]], None],
        on_step: Callable[[str], None] = no_step,
        lock_wait_s: float = LOCK_WAIT_S,
        turns: AbstractContextManager[None] | None = None,
        calendar: Calendar = UTC_CALENDAR,
    ) -> None:
        self._connect = connect
        self._syncing = syncing
        self._epoch = epoch
        self._clock = clock
        self._on_records = on_records
        self._step = on_step
        self._lock_wait_s = lock_wait_s
        self._turns = turns or nullcontext()
        self._calendar = calendar
        self._loop = asyncio.get_running_loop()
        self._queue: deque[_Item] = deque()
        self._wake_at = _NEVER
        """With so many items in the queue the thread wants to be woken."""
        self._bell: SimpleQueue[None] = SimpleQueue()
        """Cheaper than an event, and one ring too many does no harm."""
        self._stop = threading.Event()
        self._closing = False
        self._failing: str | None = None
        self._committed_at = -FRESH_S
        self._pause_s = _FIRST_PAUSE_S
        self._alone = 0
        """So many items at the head of the queue get a transaction each: one of them spoilt a batch."""
        self._expected = 0
        """Items that may soon follow those of the last transaction."""
        self._patience = Patience()
        self._company = Patience()
        self._gathering: asyncio.TimerHandle | None = None
        """What is patient waits, at most until it rings."""
        self._cursor: sqlite3.Cursor | None = None
        """One for all statements."""
        self._calls: CallBatch | None = None
        """The cursor's, as long as nothing fails."""
        self._known = Known()
        self._thread = threading.Thread(target=self._run, name="relayhub-ledger", daemon=True)
        self._thread.start()

    @property
    def failing(self) -> str | None:
        """Why the last transaction failed, or ``None`` if it did not."""
        return self._failing

    @property
    def just_committed(self) -> bool:
        """A transaction has gone through a moment ago: nothing needs to be tried to know that the store works."""
        return self._failing is None and time.monotonic() - self._committed_at < FRESH_S

    @property
    def pending(self) -> int:
        """How many items wait for the next transaction."""
        return len(self._queue)

    def submit(self, intent: Intent[T]) -> asyncio.Future[T]:
        """Hand in one item; never blocks. Cancelling the future withdraws nothing: the item is decided all the same.
        The future fails with ``HubError`` UNAVAILABLE at once when the queue is full (holds only) or the writer has
        closed."""
        future: asyncio.Future[T] = self._loop.create_future()
        if (refusal := self._refusal(intent)) is not None:
            _fail(future, refusal)  # at once, where ``ask`` would tell it later
        else:
            self.ask(intent, partial(self._resolve, intent, future))
        return future

    def ask(self, intent: Intent[object], told: Told) -> None:
        """As :meth:`submit`, for whoever does without a future; ``told`` is never called before this returns."""
        queue = self._queue
        crowded = self._closing or len(queue) >= limits.MAX_PENDING_LEDGER_ITEMS
        if crowded and (refusal := self._refusal(intent)) is not None:
            self._loop.call_soon(told, refusal)
            return
        queue.append((intent, told))
        wake_at = self._wake_at
        if len(queue) >= wake_at and not (wake_at == 1 and intent.patient and self._in_company()):
            self._wake()
            if self._gathering is not None:
                self._stop_gathering()
                self._company.note(paid=len(queue) > 1)

    def _in_company(self) -> bool:
        """Whether what is patient is kept waiting; it is not written by itself then."""
        if self._gathering is None:
            others = len(self._known.holds) > 1  # the thread's, but to look how many there are does no harm
            if not others or time.monotonic() - self._committed_at >= LIVELY_S or not self._company.waits():
                return False
            self._gathering = self._loop.call_later(COMPANY_S, self._gathered)
        return True

    def _stop_gathering(self) -> None:
        if self._gathering is not None:
            self._gathering.cancel()
            self._gathering = None

    def _gathered(self) -> None:
        self._gathering = None
        self._company.note(paid=len(self._queue) > 1)
        if len(self._queue) >= self._wake_at:
            self._wake()

    def _refusal(self, intent: Intent[object]) -> RelayhubError | None:
        """Why it is not even taken."""
        if self._closing and (self._stop.is_set() or not intent.kept):
            return refusals.unavailable("the store is closed")
        waiting = len(self._queue)
        if waiting >= limits.MAX_PENDING_LEDGER_ITEMS and not intent.kept:
            return refusals.unavailable(f"{waiting} items wait for the ledger")
        return None

    def _wake(self) -> None:
        self._wake_at = _NEVER
        self._bell.put(None)

    async def close(self, wait_s: float = CLOSE_WAIT_S) -> None:
        """Write what is queued, for up to ``wait_s``, then stop the thread. What could not be written fails with
        ``HubError``; its holds stay open and are released as orphans by the next process. Idempotent."""
        self._closing = True
        self._stop_gathering()
        self._wake()  # it may be waiting for more
        try:
            async with asyncio.timeout(wait_s):
                while self._queue or not self._stop.is_set():
                    await self.submit(Barrier())
                    if not self._queue:
                        break
        except (TimeoutError, RelayhubError):
            log.exception("ledger.closed_with_items", pending=len(self._queue))
        self._stop.set()
        self._wake()
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        queue, stop = self._queue, self._stop
        while not stop.is_set():
            if not queue:
                self._rest()
            else:
                self._gather(self._process(self._take_batch()))
        self._disconnect()
        self._refuse(self._take(len(queue)), refusals.unavailable("the store is closed"))

    def _rest(self) -> None:
        """Until there is something to do, or the disk has to be caught up with."""
        left_s = self._syncing.left_s() if self._failing is None else None
        self._doze(1, left_s)
        if left_s is not None and not self._queue:
            self._catch_up()

    def _catch_up(self) -> None:
        try:
            self._syncing.catch_up()
        except OSError as error:
            log.exception("ledger.sync_failed")
            self._failing = str(error)

    def _gather(self, items: int) -> None:
        """After a transaction of so many."""
        if self._closing:
            return
        if items >= CROWD:
            self._doze(self._expected, LINGER_S)
        elif items > 1 and len(self._queue) < self._expected and self._patience.waits():
            self._doze(self._expected, items * FEW_LINGER_S)
            self._patience.note(paid=len(self._queue) >= self._expected)

    def _doze(self, items: int, most_s: float | None) -> None:
        """Until there are so many, or for so long."""
        self._wake_at = items
        if len(self._queue) < items and not self._stop.is_set():  # what came before it was said is seen here
            with suppress(Empty):
                self._bell.get(timeout=most_s)
        self._wake_at = _NEVER

    def _take_batch(self) -> list[_Item]:
        if not self._alone:
            return self._take(limits.MAX_LEDGER_BATCH)
        self._alone -= 1
        return self._take(1)

    def _take(self, most: int) -> list[_Item]:
        queue = self._queue
        return [queue.popleft() for _ in range(min(len(queue), most))]

    def _process(self, items: list[_Item]) -> int:
        """How many were written and answered."""
        try:
            with self._turns:
                done = self._transact(items)
        except sqlite3.Error as error:
            if isinstance(error, _NOT_THE_DATABASE):
                self._one_by_one(items, error)
            else:
                self._failed(items, error)
            return 0
        except Exception as error:  # an item that cannot even be decided or bound must not stop the ledger
            self._one_by_one(items, error)
            return 0
        self._step("before_acknowledge")
        self._on_loop(self._acknowledge, done)
        return len(items)

    def _one_by_one(self, items: list[_Item], error: Exception) -> None:
        """Something in this batch can never be written: find it, refuse it, and write the rest."""
        self._rollback()
        if len(items) > 1:
            self._queue.extendleft(reversed(items))
            self._alone = len(items)
            return
        log.error("ledger.item_refused", intent=type(items[0][0]).__name__, exc_info=error)
        self._refuse(items, refusals.unrecordable(f"{type(error).__name__}: {error}"))

    def _failed(self, items: list[_Item], error: sqlite3.Error) -> None:
        """The database cannot be written: refuse what is new, keep what settles, wait a little."""
        self._rollback()
        if is_of_the_disk(error):
            self._syncing.distrust()
        if not is_busy(error):
            self._disconnect()
        if self._failing is None:
            log.error("ledger.write_failed", error=str(error), items=len(items))
        self._failing = str(error)
        self._queue.extendleft(item for item in reversed(items) if item[0].kept)
        refused = [item for item in items if not item[0].kept]
        self._refuse(refused, refusals.unavailable(self._failing))
        self._stop.wait(self._pause_s)
        self._pause_s = min(self._pause_s * 2, _LONGEST_PAUSE_S)

    def _succeeded(self, *, wrote: bool) -> None:
        if self._failing is not None:
            if not wrote:
                return  # that proves nothing
            log.info("ledger.write_recovered")
        self._failing = None
        self._pause_s = _FIRST_PAUSE_S
        self._committed_at = time.monotonic()

    def _transact(self, items: list[_Item]) -> _Done:
        cursor, calls = self._cursor, self._calls
        if cursor is None:
            cursor = self._cursor = self._connect().cursor()
        if calls is None:
            calls = self._calls = CallBatch(cursor, self._known, self._epoch.id, self._calendar)
        step = self._step
        intents = [intent for intent, _ in items]
        self._syncing.prepare(cursor, intents, healthy=self._failing is None)
        step("before_begin")
        self._begin(cursor)
        step("after_begin")
        self._known.look(cursor)
        now = self._clock.now()
        batch: Batch | None = None
        answers: Sequence[Answer] | None = calls.alone(intents[0], now, step) if len(intents) == 1 else None
        if answers is None:
            batch = Batch(cursor, self._known, calls, intents, self._epoch, now, step)
            step("after_load")
            answers = batch.decide()
            step("after_decide")
            batch.write()
        step("before_commit")
        cursor.execute("COMMIT")
        self._succeeded(wrote=self._syncing.committed(cursor))
        step("after_commit")
        if batch is not None and len(items) > 1:
            self._expected = batch.to_come()
        return _Done(items, answers, calls.records)

    def _begin(self, cursor: sqlite3.Cursor) -> None:
        """Wait for other processes, but never long at a time: see ``connection.LOCK_POLL_MS``."""
        wait_s = self._lock_wait_s if self._failing is None else min(self._lock_wait_s, FAILING_LOCK_WAIT_S)
        deadline = time.monotonic() + wait_s
        while True:
            try:
                cursor.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if not is_busy(error) or time.monotonic() >= deadline or self._stop.is_set():
                    raise
            self._stop.wait(random.uniform(0, 0.002))  # noqa: S311  # so that two waiters do not march in step

    def _rollback(self) -> None:
        self._known.forget()
        self._calls = None
        if self._cursor is not None and self._cursor.connection.in_transaction:
            try:
                self._cursor.execute("ROLLBACK")
            except sqlite3.Error:
                self._disconnect()

    def _disconnect(self) -> None:
        self._known.forget()
        self._calls = None
        self._syncing.forget()
        if self._cursor is not None:
            connection = self._cursor.connection
            self._cursor.close()  # else its last statement keeps what is closed, and a transaction in it, alive
            connection.close()
            self._cursor = None

    def _refuse(self, items: Sequence[_Item], error: RelayhubError) -> None:
        if items:
            self._on_loop(self._acknowledge, _Done(items, [error] * len(items), ()))

    def _on_loop(self, callback: Callable[[_Done], None], done: _Done) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, done)
        except RuntimeError:  # the loop has closed: nobody waits any more
            log.warning("ledger.unacknowledged", items=len(done.items))

    def _acknowledge(self, done: _Done) -> None:
        for (intent, told), answer in zip(done.items, done.answers, strict=True):
            try:
                told(answer)
            except Exception:  # whoever it was for, the others must hear theirs
                log.exception("ledger.unheard", intent=type(intent).__name__, hold_id=getattr(intent, "hold_id", None))
        if done.records:
            self._on_records(done.records)
        self._step("after_acknowledge")

    def _resolve(self, intent: Intent[T], future: asyncio.Future[T], answer: Any) -> None:
        if isinstance(answer, RelayhubError):
            _fail(future, answer)
        elif not future.done():
            future.set_result(answer)
        elif isinstance(intent, OpenHold) and answer is not None:
            self.submit(EndHold(answer, None, charge=False))  # its caller left: see OpenHold.abandoned


def _fail(future: asyncio.Future[T], error: RelayhubError) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # whoever awaits it still gets it; nobody has to

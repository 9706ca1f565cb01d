"""The limits' part of one transaction of the writer: counts are read once, decided in order, and written together.

A slot is an open hold, and nothing else counts slots. A window's count is a row per key: it takes what a call may come to
when the call is admitted, and is corrected to what it came to when its hold ends, if the window still runs then. Keys
without limits have no rows and cost no statement.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from relayhub.store import refusals
from relayhub.store.intents import NewHold
from relayhub.store.known import JOBS_EPOCH, Count, HoldRow, Known
from relayhub.store.rows import count
from relayhub.store.windows import Calendar, Window
from relayhub.types.call import UsageRecord
from relayhub.types.errors import ClientError
from relayhub.types.key_limits import KeyLimits

OF_CALLS = (Window.MONTH, Window.DAY, Window.TOKENS, Window.REQUESTS)
OF_JOBS = (Window.MONTH, Window.DAY, Window.VIDEO, Window.REQUESTS)
"""What a call or job is counted in; of the windows that are full, the first is told."""

BITS: Mapping[Window, int] = {window: 1 << place for place, window in enumerate(Window)}

_AMONG = "IN (SELECT value FROM json_each(?))"
_LOAD = f"SELECT key_id, window, starts_at, amount FROM key_windows WHERE key_id {_AMONG}"  # noqa: S608  # constants
_LOAD_SLOTS = f"SELECT key_id, epoch_id = ?, count(*) FROM holds WHERE key_id {_AMONG} GROUP BY 1, 2"  # noqa: S608
_STORE = (
    "INSERT INTO key_windows (key_id, window, starts_at, amount) VALUES (?, ?, ?, ?) "
    "ON CONFLICT (key_id, window) DO UPDATE SET starts_at = excluded.starts_at, amount = excluded.amount"
)


@dataclass(frozen=True, slots=True)
class Used:
    """What a hold came to in the end."""

    tokens: int
    video_ms: int
    nano: int


class LimitBatch:
    """Used by :class:`relayhub.store.call_batch.CallBatch`. ``limits``: those of the keys that are touched and have any;
    ``counted``: keys whose holds are counted in windows and end."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        known: Known,
        limits: Mapping[str, KeyLimits],
        counted: set[str],
        calendar: Calendar,
        now: float,
    ) -> None:
        self._connection = connection
        self._calendar = calendar
        self._now = now
        self._starts: dict[Window, float] = {}
        self._counts = known.counts
        self._changed: dict[tuple[str, str], Count] = {}
        self._slots = known.slots
        self._load_counts(known.counted, counted.union(limits).difference(known.counted))
        slotted = [
            key for key, own in limits.items() if own.concurrent_calls is not None or own.jobs_in_flight is not None
        ]
        self._load_slots([key for key in slotted if key not in self._slots])

    def _load_counts(self, counted: set[str], keys: set[str]) -> None:
        if keys:
            counted |= keys
            for key_id, window, starts_at, amount in self._connection.execute(_LOAD, (json.dumps([*keys]),)):
                self._counts[key_id, window] = Count(starts_at, amount)

    def _load_slots(self, keys: list[str]) -> None:
        """Open calls and open jobs of each key."""
        if keys:
            self._slots.update({key: [0, 0] for key in keys})
            for key, job, number in self._connection.execute(_LOAD_SLOTS, (JOBS_EPOCH, json.dumps(keys))):
                self._slots[key][job] = number

    def refusal(self, limits: KeyLimits, new: NewHold, *, job: bool) -> ClientError | None:
        """Why this hold cannot be opened now; ``None`` if it can. Changes nothing."""
        for window in OF_JOBS if job else OF_CALLS:
            limit = limit_of(limits, window)
            if limit is None:
                continue
            count, asked = self._count(new.key_id, window), _asked(new, window)
            if count.amount + asked > limit:
                end = self._calendar.end(window, count.starts_at)
                return refusals.window_full(window, limit, limit - count.amount, asked, end - self._now)
        most = limits.jobs_in_flight if job else limits.concurrent_calls
        if most is not None and self._slots[new.key_id][job] >= most:
            return refusals.slots_taken(most, job=job)
        return None

    def opened(self, limits: KeyLimits, new: NewHold, *, job: bool) -> int:
        """Count a hold that is opened; the bits of its windows."""
        bits = 0
        for window in OF_JOBS if job else OF_CALLS:
            if limit_of(limits, window) is not None:
                count = self._count(new.key_id, window)
                count.amount += _asked(new, window)
                self._counts[new.key_id, window] = self._changed[new.key_id, window] = count
                bits |= BITS[window]
        self._move_slot(new.key_id, 1, job=job)
        return bits

    def ended(self, hold: HoldRow, record: UsageRecord | None, charged: int) -> None:
        """Free its slot, and correct the windows that it is counted in, if they still run."""
        self._move_slot(hold.key_id, -1, job=hold.job)
        if hold.windows & ~BITS[Window.REQUESTS]:
            used = _used(record, charged)
            for window, bit in BITS.items():
                if hold.windows & bit:
                    self._correct(hold, window, _excess(hold, used, window))

    def _correct(self, hold: HoldRow, window: Window, excess: int) -> None:
        count = self._counts.get((hold.key_id, window))
        if excess and count is not None and hold.created_at >= count.starts_at:
            count.amount = max(0, count.amount + excess)
            self._changed[hold.key_id, window] = count

    def _move_slot(self, key_id: str, by: int, *, job: bool) -> None:
        if (slots := self._slots.get(key_id)) is not None:
            slots[job] += by

    def _count(self, key_id: str, window: Window) -> Count:
        """That of the window that runs now; a new one is not known before something is counted in it. Should the clock have
        gone back, the later window goes on; if it has gone back by more than a window, what was used counts as used now, as
        nobody should wait for the clock to come round."""
        start = self._start(window)
        count = self._counts.get((key_id, window))
        if count is None or count.starts_at < start:
            return Count(start, 0)
        if count.starts_at > self._calendar.end(window, self._now):
            count.starts_at, self._changed[key_id, window] = start, count
        return count

    def _start(self, window: Window) -> float:
        if window not in self._starts:
            self._starts[window] = self._calendar.start(window, self._now)
        return self._starts[window]

    def write(self) -> None:
        rows = [
            (key_id, str(window), count.starts_at, count.amount) for (key_id, window), count in self._changed.items()
        ]
        if rows:
            self._connection.executemany(_STORE, rows)


def limit_of(limits: KeyLimits, window: Window) -> int | None:
    """In the unit that the window counts."""
    match window:
        case Window.REQUESTS:
            return limits.requests_per_minute
        case Window.TOKENS:
            return limits.tokens_per_minute
        case Window.VIDEO:
            seconds = limits.video_seconds_per_day
            return None if seconds is None else seconds * 1000
        case Window.DAY:
            return limits.spend_per_day_nano
        case Window.MONTH:
            return limits.spend_per_month_nano


def _asked(new: NewHold, window: Window) -> int:
    match window:
        case Window.REQUESTS:
            return 1
        case Window.TOKENS:
            return new.tokens
        case Window.VIDEO:
            return new.video_ms
        case Window.DAY | Window.MONTH:
            return new.amount_nano


def _used(record: UsageRecord | None, charged: int) -> Used:
    """A call without an account of itself has used nothing."""
    if record is None:
        return Used(0, 0, charged)
    usage, media = record.usage, record.media
    video_ms = 0 if media is None else count(media.video_ms)
    return Used(count(usage.input_tokens) + count(usage.output_tokens), video_ms, charged)


def _excess(hold: HoldRow, used: Used, window: Window) -> int:
    """How much more it was than what was taken for it."""
    match window:
        case Window.REQUESTS:
            return 0
        case Window.TOKENS:
            return used.tokens - hold.tokens
        case Window.VIDEO:
            return used.video_ms - hold.video_ms
        case Window.DAY | Window.MONTH:
            return used.nano - hold.amount

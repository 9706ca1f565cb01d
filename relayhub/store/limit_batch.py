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
from functools import cache
from typing import TypeAlias

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

_MEASURES: Mapping[Window, int] = {
    Window.REQUESTS: 0,
    Window.TOKENS: 1,
    Window.VIDEO: 2,
    Window.DAY: 3,
    Window.MONTH: 3,
}
"""Where what a window counts stands in a :data:`Measured`."""

Measured: TypeAlias = "tuple[int, int, int, int]"
"""Of one call: requests, tokens, milliseconds of video, nano-USD."""

_AMONG = "IN (SELECT value FROM json_each(?))"
_LOAD = f"SELECT key_id, window, starts_at, amount FROM key_windows WHERE key_id {_AMONG}"  # noqa: S608  # constants
_LOAD_SLOTS = f"SELECT key_id, epoch_id = ?, count(*) FROM holds WHERE key_id {_AMONG} GROUP BY 1, 2"  # noqa: S608
_STORE = (
    "INSERT INTO key_windows (key_id, window, starts_at, amount) VALUES (?, ?, ?, ?) "
    "ON CONFLICT (key_id, window) DO UPDATE SET starts_at = excluded.starts_at, amount = excluded.amount"
)


@dataclass(slots=True)
class _Gauge:
    """One window of a key in this transaction. ``measure``: what it counts; ``changed``: it is to be written."""

    window: Window
    limit: int
    measure: int
    count: Count
    changed: bool = False


@dataclass(frozen=True, slots=True)
class _Meter:
    """All that is counted of a key's calls, or of its jobs, in this transaction. ``bits``: of its windows; ``most``: at a
    time."""

    gauges: tuple[_Gauge, ...]
    bits: int
    most: int | None


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
        self._meters: tuple[dict[str, _Meter], dict[str, _Meter]] = {}, {}
        """By key: of calls, and of jobs."""
        self._begun: dict[tuple[str, str], Count] = {}
        """Windows in which nothing has been counted before."""
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
        meter, asked = self._meter(new.key_id, limits, job=job), _asked(new)
        for gauge in meter.gauges:
            count = gauge.count
            if count.amount + asked[gauge.measure] > gauge.limit:
                left, end = gauge.limit - count.amount, self._calendar.end(gauge.window, count.starts_at)
                wait_s = end - self._now
                return refusals.window_full(gauge.window, gauge.limit, left, asked[gauge.measure], wait_s)
        most = meter.most
        if most is not None and self._slots[new.key_id][job] >= most:
            return refusals.slots_taken(most, job=job)
        return None

    def opened(self, limits: KeyLimits, new: NewHold, *, job: bool) -> int:
        """Count a hold that is opened; the bits of its windows."""
        meter, asked = self._meter(new.key_id, limits, job=job), _asked(new)
        for gauge in meter.gauges:
            gauge.count.amount += asked[gauge.measure]
            if not gauge.changed:
                gauge.changed = True
                self._counts[new.key_id, gauge.window] = self._changed[new.key_id, gauge.window] = gauge.count
        self._move_slot(new.key_id, 1, job=job)
        return meter.bits

    def _meter(self, key_id: str, limits: KeyLimits, *, job: bool) -> _Meter:
        """The same one for the whole transaction: neither its time nor its limits change."""
        meters = self._meters[job]
        meter = meters.get(key_id)
        if meter is None:
            limited = [(window, limit_of(limits, window)) for window in (OF_JOBS if job else OF_CALLS)]
            gauges = tuple(
                _Gauge(window, limit, _MEASURES[window], self._count(key_id, window))
                for window, limit in limited
                if limit is not None
            )
            bits = sum(BITS[gauge.window] for gauge in gauges)
            most = limits.jobs_in_flight if job else limits.concurrent_calls
            meter = meters[key_id] = _Meter(gauges, bits, most)
        return meter

    def ended(self, hold: HoldRow, record: UsageRecord | None, charged: int) -> None:
        """Free its slot, and correct the windows that it is counted in, if they still run."""
        self._move_slot(hold.key_id, -1, job=hold.job)
        corrected = _corrected(hold.windows)
        if corrected:
            excess = _excess(hold, record, charged)
            for window, measure in corrected:
                self._correct(hold, window, excess[measure])

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
            return self._begun.setdefault((key_id, window), Count(start, 0))
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


def _asked(new: NewHold) -> Measured:
    """What it may come to."""
    return 1, new.tokens, new.video_ms, new.amount_nano


@cache
def _corrected(bits: int) -> tuple[tuple[Window, int], ...]:
    """Of these windows, those that count what a call came to, with their measures."""
    return tuple(
        (window, _MEASURES[window]) for window, bit in BITS.items() if bits & bit and window is not Window.REQUESTS
    )


def _excess(hold: HoldRow, record: UsageRecord | None, charged: int) -> Measured:
    """How much more it was than what was taken for it. A call without an account of itself has used nothing."""
    tokens = video_ms = 0
    if record is not None:
        tokens = count(record.usage.input_tokens) + count(record.usage.output_tokens)
        video_ms = 0 if record.media is None else count(record.media.video_ms)
    return 0, tokens - hold.tokens, video_ms - hold.video_ms, charged - hold.amount

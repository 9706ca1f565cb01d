"""The limits' part of one transaction of the writer: counts are read once, decided in order, and written together.

A slot is an open hold, and nothing else counts slots. A window's count is a row per key: it takes what a call may come to
when the call is admitted, and is corrected to what it came to when its hold ends, if the window still runs then. Keys
without limits have no rows and cost no statement.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

from relayhub.store import refusals
from relayhub.store.known import JOBS_EPOCH, Count, HoldRow, Known
from relayhub.store.many import insert_many
from relayhub.store.rows import Row, count
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
_ADD = "INSERT INTO key_windows (key_id, window, starts_at, amount) VALUES (?, ?, ?, ?)"
_ADD_OR = "ON CONFLICT (key_id, window) DO UPDATE SET starts_at = excluded.starts_at, amount = excluded.amount"


Counted: TypeAlias = "tuple[Window, int, Count | None]"
"""A window of a key, what it counts, and its count, if anything is."""


Gauge: TypeAlias = "tuple[Window, int, int, Count]"
"""One window of a key: its limit, what it counts, and its count. A named tuple would be taken apart six times as slowly."""


@dataclass(slots=True)
class Meter:
    """All that is counted of a key's calls, or of its jobs. ``bits``: of its windows; ``most``: at a time; ``slots``: see
    :class:`relayhub.store.known.Known`. ``since``, ``until``: its windows are these from then until just before then. What
    slots and gauges count is the writer's own, and changes. ``corrected``: what is corrected when a hold ends. ``begun``:
    something has been counted in all of them, so that they are the ones known by key and window; ``stored``: all of them have
    their rows; ``changed``: in this transaction."""

    job: bool
    gauges: tuple[Gauge, ...]
    bits: int
    most: int | None
    slots: list[int] | None
    since: float
    until: float
    corrected: tuple[Counted, ...]
    key_id: str
    store: str
    """The statement that stores all its gauges, where they have their rows."""
    begun: bool = False
    stored: bool = False
    changed: bool = False


class LimitBatch:
    """Used by :class:`relayhub.store.call_batch.CallBatch`, for one transaction after the other."""

    __slots__ = (
        "_begun",
        "_calendar",
        "_changed",
        "_changed_meters",
        "_counts",
        "_cursor",
        "_known",
        "_meters",
        "_now",
        "_slots",
    )

    def __init__(self, cursor: sqlite3.Cursor, known: Known, calendar: Calendar) -> None:
        self._cursor = cursor
        self._calendar = calendar
        self._now = 0.0
        self._known = known
        self._meters = known.meters
        self._counts = known.counts
        self._begun = known.begun
        self._changed: dict[str, list[tuple[Window, Count]]] = {}
        self._changed_meters: list[Meter] = []
        self._slots = known.slots

    def begin(self, now: float) -> None:
        """A transaction that touches what is known."""
        known = self._known
        self._now = now
        if now < known.counted_at:  # what was made for a later time may be of another window
            known.meters.clear()
            known.begun.clear()
        known.counted_at = now

    def load(self, limits: Mapping[str, KeyLimits], counted: set[str]) -> None:
        """``limits``: those of the keys that are touched and have any; ``counted``: keys whose holds are counted in windows
        and end."""
        known = self._known
        if not (known.counted.issuperset(limits) and known.counted.issuperset(counted)):
            unread = counted.union(limits).difference(known.counted)
            known.counted |= unread
            self._load_counts(unread)
            self._load_slots([key_id for key_id in unread if key_id in limits and _has_slots(limits[key_id])])

    def _load_counts(self, keys: set[str]) -> None:
        for key_id, window, starts_at, amount in self._cursor.execute(_LOAD, (json.dumps([*keys]),)):
            self._counts[key_id, window] = Count(starts_at, amount, stored=True)

    def _load_slots(self, keys: list[str]) -> None:
        """Open calls and open jobs of each key."""
        if keys:
            self._slots.update({key: [0, 0] for key in keys})
            for key, job, number in self._cursor.execute(_LOAD_SLOTS, (JOBS_EPOCH, json.dumps(keys))):
                self._slots[key][job] = number

    def meter(self, key_id: str, limits: KeyLimits, *, job: bool) -> Meter:
        """Made once for as long as neither the limits nor the windows change."""
        meter = self._meters.get((key_id, job))
        if meter is None or not meter.since <= self._now < meter.until:
            meter = self._meters[key_id, job] = self._made(key_id, limits, job=job)
        return meter

    def _made(self, key_id: str, limits: KeyLimits, *, job: bool) -> Meter:
        limited = [(window, limit_of(limits, window)) for window in (OF_JOBS if job else OF_CALLS)]
        gauges = tuple(
            (window, limit, _MEASURES[window], self._count(key_id, window))
            for window, limit in limited
            if limit is not None
        )
        bits = sum(BITS[window] for window, *_ in gauges)
        most = limits.jobs_in_flight if job else limits.concurrent_calls
        until = min([self._calendar.end(window, self._now) for window, *_ in gauges], default=math.inf)
        used = {window: used for window, _, _, used in gauges}
        corrected = tuple((window, measure, used[window]) for window, measure in _corrected(bits))
        store = _store(tuple([window for window, *_ in gauges])) if gauges else ""
        return Meter(job, gauges, bits, most, self._slots.get(key_id), self._now, until, corrected, key_id, store)

    def refusal(self, meter: Meter, asked: Measured) -> ClientError | None:
        """Why a hold of so much cannot be opened now; ``None`` if it can. Changes nothing."""
        for window, limit, measure, used in meter.gauges:
            if used.amount + asked[measure] > limit:
                wait_s = self._calendar.end(window, used.starts_at) - self._now
                return refusals.window_full(window, limit, limit - used.amount, asked[measure], wait_s)
        if meter.most is not None and meter.slots is not None and meter.slots[meter.job] >= meter.most:
            return refusals.slots_taken(meter.most, job=meter.job)
        return None

    def opened(self, key_id: str, meter: Meter, asked: Measured) -> int:
        """Count a hold that is opened; the bits of its windows."""
        for _, _, measure, used in meter.gauges:
            used.amount += asked[measure]
        if not meter.changed and meter.gauges:
            self._change_meter(meter)
        if not meter.begun:
            meter.begun = True
            self._counts.update({(key_id, window): used for window, _, _, used in meter.gauges})
        if meter.slots is not None:
            meter.slots[meter.job] += 1
        return meter.bits

    def ended(self, hold: HoldRow, record: UsageRecord | None, charged: int) -> None:
        """Free its slot, and correct the windows that it is counted in, if they still run."""
        job, created_at = hold.epoch_id == JOBS_EPOCH, hold.created_at
        if (slots := self._slots.get(hold.key_id)) is not None:
            slots[job] -= 1
        if not hold.windows:
            return
        tokens = video_ms = 0  # a call without an account of itself has used nothing
        if record is not None:
            usage, media = record.usage, record.media
            tokens = count(usage.input_tokens) + count(usage.output_tokens)
            video_ms = 0 if media is None else count(media.video_ms)
        more = (0, tokens - hold.tokens, video_ms - hold.video_ms, charged - hold.amount)
        key_id, windows = hold.key_id, hold.windows
        meter = self._meters.get((key_id, job))
        if meter is not None and meter.begun and meter.bits == windows and meter.since <= self._now < meter.until:
            if not meter.changed:
                self._change_meter(meter)
            corrected: Sequence[Counted] = meter.corrected
        else:
            meter, corrected = None, self._looked_up(key_id, windows)
        for window, measure, used in corrected:
            excess = more[measure]
            if excess and used is not None and created_at >= used.starts_at:
                amount = used.amount + excess
                used.amount = amount if amount > 0 else 0
                if meter is None and not used.changed:
                    self._change(key_id, window, used)

    def _looked_up(self, key_id: str, windows: int) -> Sequence[Counted]:
        """What a hold in these windows is corrected in, where no meter of the key has begun the windows that run."""
        return [(window, measure, self._counts.get((key_id, window))) for window, measure in _corrected(windows)]

    def _change_meter(self, meter: Meter) -> None:
        """All its gauges at once: they are in one statement."""
        meter.changed = True
        self._changed_meters.append(meter)

    def _change(self, key_id: str, window: Window, used: Count) -> None:
        used.changed = True
        if (changed := self._changed.get(key_id)) is None:
            changed = self._changed[key_id] = []
        changed.append((window, used))

    def _count(self, key_id: str, window: Window) -> Count:
        """That of the window that runs now; a new one is not known before something is counted in it. Should the clock have
        gone back, the later window goes on; if it has gone back by more than a window, what was used counts as used now, as
        nobody should wait for the clock to come round."""
        start = self._calendar.start(window, self._now)
        used = self._counts.get((key_id, window))
        if used is None or used.starts_at < start:
            begun = self._begun.get((key_id, window))
            if begun is None or begun.starts_at != start:
                begun = self._begun[key_id, window] = Count(start, 0)
            return begun
        if used.starts_at > self._calendar.end(window, self._now):
            used.starts_at, used.stored = start, False
            if not used.changed:
                self._change(key_id, window, used)
        return used

    def write(self) -> None:
        """What has a row gets another amount, all of a key in one statement; that is a third of what it costs to add a row
        that may be there."""
        for meter in self._changed_meters:
            meter.changed = False
            if meter.stored:
                self._cursor.executemany(
                    meter.store, ((*[used.amount for _, _, _, used in meter.gauges], meter.key_id),)
                )
            else:
                meter.stored = True
                for window, _, _, used in meter.gauges:
                    if not used.changed:
                        self._change(meter.key_id, window, used)
        self._changed_meters.clear()
        if self._changed:
            self._write_counts()
            self._changed.clear()

    def _write_counts(self) -> None:
        begun: list[Row] = []
        for key_id, changed in self._changed.items():
            windows: tuple[Window, ...] = ()
            values: tuple[int | str, ...] = ()
            for window, used in changed:
                used.changed = False
                if used.stored:
                    windows += (window,)
                    values += (used.amount,)
                else:
                    used.stored = True
                    begun.append((key_id, window.value, used.starts_at, used.amount))
            if windows:
                self._cursor.execute(_store(windows), (*values, key_id))
        if begun:
            insert_many(self._cursor, _ADD, begun, _ADD_OR)


def _has_slots(limits: KeyLimits) -> bool:
    return limits.concurrent_calls is not None or limits.jobs_in_flight is not None


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


@cache
def _store(windows: tuple[Window, ...]) -> str:
    """Of one key. Should a row be refused, those before it stay: see :func:`relayhub.store.rows.insert_or_fail`."""
    amounts = " ".join(f"WHEN '{window}' THEN ?" for window in windows)
    return f"UPDATE OR FAIL key_windows SET amount = CASE window {amounts} ELSE amount END WHERE key_id = ?"  # noqa: S608


@cache
def _corrected(bits: int) -> tuple[tuple[Window, int], ...]:
    """Of these windows, those that count what a call came to, with their measures."""
    return tuple(
        (window, _MEASURES[window]) for window, bit in BITS.items() if bits & bit and window is not Window.REQUESTS
    )

"""Who holds up the event loop, by name: a thread looks at what the loop does when it should have come round long ago."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import traceback
from bisect import bisect_left
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from types import FrameType

import structlog

from relayhub.plugins.loaded import LoadedPlugin
from relayhub.types.rhythm import until_next

log = structlog.get_logger("relayhub.loop")

BEAT_S = 0.25
"""The loop notes how late it is as often as this."""

LOOK_S = 0.1
"""Between two looks at a loop that is late."""

BLOCKED_S = 0.5
"""Everybody waits meanwhile: whoever does that is named."""

FRAMES = 12
"""Of the stack, for the log; the innermost ones."""

BUCKETS_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)


class LoopLag:
    """How late the loop has been, as a histogram since the start."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BUCKETS_MS) + 1)
        self.max_s = 0.0

    def note(self, late_s: float) -> None:
        """One delay of so long has made every beat late that it swallowed, each a little less than the one before."""
        self.max_s = max(self.max_s, late_s)
        while late_s >= 0:
            self._counts[bisect_left(BUCKETS_MS, late_s * 1000)] += 1
            late_s -= BEAT_S

    @property
    def count(self) -> int:
        return sum(self._counts)

    def buckets(self) -> list[tuple[float, int]]:
        """Upper bounds in seconds, infinity last, and how many beats were no later than that."""
        bounds = [bound / 1000 for bound in BUCKETS_MS]
        return [(bound, sum(self._counts[: at + 1])) for at, bound in enumerate([*bounds, float("inf")])]

    def quantile_s(self, share: float) -> float:
        """The upper bound of the bucket, or the longest delay of all where that is less."""
        wanted = share * self.count
        return next((min(bound, self.max_s) for bound, below in self.buckets() if below >= wanted), 0.0)


class Watchdog:
    """``blocked_s``: from when on a delay is somebody's fault."""

    def __init__(self, plugins: Callable[[], Sequence[LoadedPlugin]], blocked_s: float = BLOCKED_S) -> None:
        self.lag = LoopLag()
        self._plugins = plugins
        self._blocked_s = blocked_s
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._told = False
        self._over = threading.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Watch the loop that this runs in. When it ends the log says how late the loop has been."""
        self._over.clear()
        self._beat_again()
        watching = threading.Thread(
            target=self._watch, args=(threading.get_ident(),), name="relayhub-watchdog", daemon=True
        )
        watching.start()
        try:
            yield
        finally:
            self._over.set()
            if self._timer is not None:
                self._timer.cancel()
            watching.join()
            log.info("loop.lag", beats=self.lag.count, **self.in_ms())

    def in_ms(self) -> dict[str, float]:
        """How late the loop has been since it was started."""
        named = {"p50_ms": 0.5, "p99_ms": 0.99, "p999_ms": 0.999}
        return {
            **{name: round(self.lag.quantile_s(share) * 1000, 1) for name, share in named.items()},
            "max_ms": round(self.lag.max_s * 1000, 1),
        }

    def _beat_again(self) -> None:
        """By the loop itself: what is measured is this loop, whatever clock the rest goes by."""
        now = time.monotonic()
        wait_s = until_next(now, BEAT_S)
        self._due = now + wait_s
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._beat)

    def _beat(self) -> None:
        late_s = max(0.0, time.monotonic() - self._due)
        self.lag.note(late_s)
        if self._told:
            self._told = False
            log.warning("loop.came_round", late_s=round(late_s, 3))
        self._beat_again()

    def _watch(self, watched: int) -> None:
        """In a thread, which sleeps until the loop is nearly too late. Then it looks once more: where the machine had no time
        for either of them, the loop comes round in between, or this thread is late itself."""
        nearly_s = self._blocked_s - LOOK_S
        while not self._over.wait(max(self._due + nearly_s - time.monotonic(), LOOK_S)):
            due, before = self._due, time.monotonic()
            if self._told or before - due < nearly_s:
                continue
            if self._over.wait(LOOK_S):
                return
            now = time.monotonic()
            if self._due == due and now - before < 2 * LOOK_S:
                self._told = True
                self._tell(sys._current_frames().get(watched), now - due)  # noqa: SLF001 - the only way to see another thread's stack

    def _tell(self, frame: FrameType | None, late_s: float) -> None:
        stack = [frame for frame, _ in traceback.walk_stack(frame)]
        owner, at = next(((name, at) for at in stack if (name := self._owner(at)) is not None), (None, None))
        shown = at if at is not None else next(iter(stack), None)
        log.error(
            "loop.blocked",
            plugin=owner,
            where=None if shown is None else _place(shown),
            blocked_s=round(late_s, 3),
            frames=[_place(frame) for frame in stack[:FRAMES]],
        )

    def _owner(self, frame: FrameType) -> str | None:
        """The plugin whose code this is."""
        module = str(frame.f_globals.get("__name__", ""))
        for plugin in self._plugins():
            name = getattr(plugin.module, "__name__", None) or type(plugin.module).__module__
            if module == name or module.startswith(f"{name}."):
                return plugin.name
        return None


def _place(frame: FrameType) -> str:
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"

"""Whoever holds up the event loop is named; a loop that comes round is not disturbed."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from relayhub.plugins.host import PluginHost
from relayhub.plugins.watchdog import BEAT_S, BUCKETS_MS, LoopLag, Watchdog

SLOW = """
import time
from relayhub.sdk import hookimpl

def until(moment):
    while time.monotonic() < moment:
        pass

@hookimpl
def relayhub_register_providers():
    return []
"""


@pytest.fixture
def host(tmp_path: Path) -> PluginHost:
    (tmp_path / "slow.py").write_text(SLOW)
    return PluginHost.load(dirs=[tmp_path])


async def test_a_plugin_that_blocks_the_loop_is_named_once(host: PluginHost) -> None:
    slow = next(plugin.module for plugin in host.plugins if plugin.name == "slow")
    watchdog = Watchdog(lambda: host.plugins, blocked_s=0.3)
    with capture_logs() as logs:
        async with watchdog.running():
            await asyncio.sleep(2 * BEAT_S)
            slow.until(time.monotonic() + 1.2)  # type: ignore[attr-defined]
            while "loop.came_round" not in [entry["event"] for entry in logs]:
                await asyncio.sleep(BEAT_S)
    (told,) = [entry for entry in logs if entry["event"] == "loop.blocked"]
    assert told["plugin"] == "slow"
    assert "slow.py" in told["where"]
    assert told["where"].endswith("in until")
    (late,) = [entry["late_s"] for entry in logs if entry["event"] == "loop.came_round"]
    assert late > 1.2 - 1.2 * BEAT_S, "it is seen from the next beat on"
    assert watchdog.lag.max_s > 1.2 - 1.2 * BEAT_S


async def test_blocking_code_of_nobody_is_shown_with_its_place() -> None:
    with capture_logs() as logs:
        async with Watchdog(lambda: (), blocked_s=0.3).running():
            await asyncio.sleep(2 * BEAT_S)
            until = time.monotonic() + 1.2
            while time.monotonic() < until:
                pass
    (told,) = [entry for entry in logs if entry["event"] == "loop.blocked"]
    assert told["plugin"] is None
    assert "test_watchdog.py" in told["where"]


async def test_the_thread_sleeps_as_long_as_the_loop_cannot_be_too_late() -> None:
    class Counted(threading.Event):
        waits = 0

        def wait(self, timeout: float | None = None) -> bool:
            self.waits += 1
            return super().wait(timeout)

    watchdog = Watchdog(lambda: (), blocked_s=60)
    watchdog._over = over = Counted()
    async with watchdog.running():
        while watchdog.lag.count < 4:
            await asyncio.sleep(BEAT_S)
    assert over.waits == 1


async def test_a_loop_that_comes_round_is_nobodys_fault() -> None:
    watchdog = Watchdog(lambda: (), blocked_s=5)
    with capture_logs() as logs:
        async with watchdog.running():
            while watchdog.lag.count < 3:
                await asyncio.sleep(BEAT_S)
    assert not {"loop.blocked", "loop.came_round"} & {entry["event"] for entry in logs}
    assert set(watchdog.in_ms()) == {"p50_ms", "p99_ms", "p999_ms", "max_ms"}


def test_one_long_delay_counts_for_every_beat_that_it_swallowed() -> None:
    lag = LoopLag()
    for _ in range(10):
        lag.note(0.0)
    lag.note(10 * BEAT_S)
    assert lag.count == 10 + 11
    assert lag.quantile_s(0.4) == BUCKETS_MS[0] / 1000
    assert lag.quantile_s(1.0) == lag.max_s == 10 * BEAT_S
    assert lag.buckets()[-1] == (float("inf"), 21)


def test_without_a_beat_there_is_no_delay() -> None:
    assert LoopLag().quantile_s(0.999) == 0.0

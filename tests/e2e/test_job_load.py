"""Many open jobs on one process do not delay each other. The whole load is ``scripts/jobs-load``; here as many polls a second
are asked of it by fewer jobs that are polled more often."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.job_load import Load, run_load

EVERY_S = 2
JOBS = 600
"""Polled this often they are the load of 2 400 jobs at the usual pace."""
HELD_MIB = 64


@pytest.mark.timeout(120)
def test_a_change_is_seen_within_two_polls(home: Path) -> None:
    figures = run_load(home, Load(JOBS, EVERY_S, open_s=4, spread_s=6), submit_s=4)
    assert figures.open_at_once == JOBS
    assert figures.lag_p95_s <= 2 * EVERY_S, figures
    assert figures.peak_rss_mib - figures.idle_rss_mib <= HELD_MIB, figures

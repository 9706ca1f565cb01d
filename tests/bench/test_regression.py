"""The guard of relayhub's speed in CI: never an absolute time, only what it costs in requests of a bare proxy beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.short import run_short

MOST = 1.1
"""A third above the highest median of ``scripts/bench --short 10`` on a machine that was busy with other work. Tighten it
when relayhub gets cheaper."""


@pytest.mark.timeout(180)
def test_a_request_costs_no_more_bare_proxy_requests_than_before(tmp_path: Path) -> None:
    """Code that got dearer is too dear twice; a machine that was busy for a moment is not."""
    found = []
    for attempt in ("first", "second"):
        (tmp_path / attempt).mkdir()
        short = run_short(tmp_path / attempt)
        assert short.errors == 0
        if short.ratio <= MOST:
            return
        found.append(short.ratio)
    raise AssertionError(f"a request costs as much as {found} of the bare proxy's, and may cost {MOST}")

"""Whose days and months limits count, and what becomes of a revoked key's answers."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from relayhub.config import ConfigError
from tests.config.support import valid

MODELS = "providers: {demo: {models: {m: {free: true}}}}\n"


def test_days_are_utcs_unless_a_zone_is_named(tmp_path: Path) -> None:
    assert valid(tmp_path, MODELS).quota.zone is UTC
    quota = valid(tmp_path, f"quota: {{timezone: Europe/Berlin, revoked_streams: cut}}\n{MODELS}").quota
    assert (quota.zone, quota.revoked_streams) == (ZoneInfo("Europe/Berlin"), "cut")


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../etc/passwd", "Europe", "+02:00"])
def test_a_zone_that_nobody_knows_is_named_with_its_place(tmp_path: Path, zone: str) -> None:
    with pytest.raises(ConfigError, match="not a time zone that this machine knows") as caught:
        valid(tmp_path, f'quota:\n  timezone: "{zone}"\n{MODELS}')
    assert "relayhub.yaml:2:13" in str(caught.value)

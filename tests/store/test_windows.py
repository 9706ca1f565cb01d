"""Minutes of the clock, days and months of a zone, also where the clocks change."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from relayhub.store.windows import Calendar, Window

HOUR = 3600.0


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_a_minute_is_one_of_the_clock() -> None:
    calendar = Calendar()
    for window in (Window.REQUESTS, Window.TOKENS):
        assert calendar.start(window, at("2026-03-01T10:20:59.5+00:00")) == at("2026-03-01T10:20:00+00:00")
        assert calendar.end(window, at("2026-03-01T10:20:00+00:00")) == at("2026-03-01T10:21:00+00:00")


@pytest.mark.parametrize(
    ("zone", "moment", "start", "end"),
    [
        ("UTC", "2026-03-01T23:59:59+00:00", "2026-03-01T00:00:00+00:00", "2026-03-02T00:00:00+00:00"),
        ("Asia/Shanghai", "2026-03-01T17:00:00+00:00", "2026-03-02T00:00:00+08:00", "2026-03-03T00:00:00+08:00"),
        ("Europe/Berlin", "2026-03-29T12:00:00+02:00", "2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00"),
        ("Europe/Berlin", "2026-10-25T12:00:00+01:00", "2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00"),
        ("America/Havana", "2026-11-01T00:30:00-05:00", "2026-11-01T00:00:00-04:00", "2026-11-02T00:00:00-05:00"),
    ],
)
def test_a_day_is_one_of_the_zone(zone: str, moment: str, start: str, end: str) -> None:
    """Also one of 23 or 25 hours, and one whose midnight comes twice."""
    calendar = Calendar(ZoneInfo(zone))
    for window in (Window.DAY, Window.VIDEO):
        assert calendar.start(window, at(moment)) == at(start)
        assert calendar.end(window, at(moment)) == at(end)


@pytest.mark.parametrize(
    ("moment", "start", "end"),
    [
        ("2026-01-31T23:30:00+00:00", "2026-02-01T00:00:00+01:00", "2026-03-01T00:00:00+01:00"),
        ("2026-03-31T12:00:00+02:00", "2026-03-01T00:00:00+01:00", "2026-04-01T00:00:00+02:00"),
        ("2026-12-05T12:00:00+01:00", "2026-12-01T00:00:00+01:00", "2027-01-01T00:00:00+01:00"),
    ],
)
def test_a_month_is_one_of_the_zone(moment: str, start: str, end: str) -> None:
    calendar = Calendar(ZoneInfo("Europe/Berlin"))
    assert calendar.start(Window.MONTH, at(moment)) == at(start)
    assert calendar.end(Window.MONTH, at(moment)) == at(end)


@pytest.mark.parametrize("zone", ["UTC", "America/Havana", "Asia/Beirut", "America/Santiago", "Australia/Lord_Howe"])
def test_windows_follow_each_other_without_a_gap(zone: str) -> None:
    """Hour by hour through a year: a window's start never goes back, and each ends where the next one begins."""
    calendar, first = Calendar(ZoneInfo(zone)), datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    for window in (Window.DAY, Window.MONTH):
        before = calendar.start(window, first)
        for hour in range(1, 370 * 24):
            moment = first + hour * HOUR
            start = calendar.start(window, moment)
            assert start <= moment < calendar.end(window, moment)
            if start != before:
                assert start == calendar.end(window, before)
            before = start

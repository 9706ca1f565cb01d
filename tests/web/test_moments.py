"""Times as the admin API shows them: what is asked for "since" the time that is shown of something is found."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import example, given
from hypothesis import strategies as st

from relayhub.web.admin.shapes import moment, seconds


@given(st.floats(1.6e9, 2.2e9))
@example(1799343551.9732609)
@example(1_790_000_000.0)
def test_a_moment_is_never_later_than_what_it_shows_and_less_than_two_microseconds_earlier(at: float) -> None:
    shown = seconds(moment(at))
    assert shown is not None
    assert at - 2e-6 < shown <= at


def test_a_whole_second_is_shown_as_it_is() -> None:
    assert moment(1_790_000_000.0) == datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC)

"""What looks around in the same rhythm wakes a process once, not each by itself."""

from __future__ import annotations

import pytest

from relayhub.types.rhythm import until_next


def test_whoever_begins_at_any_moment_meets_the_others() -> None:
    for began in (0.0, 0.1, 3.7, 1234.5678):
        moments = [began]
        for _ in range(8):
            moments.append(moments[-1] + until_next(moments[-1], 0.25))
        assert [moment % 0.25 for moment in moments[2:]] == pytest.approx([0.0] * 7, abs=1e-9)


def test_a_timer_that_rings_a_little_early_does_not_ring_again_for_the_same_moment() -> None:
    assert until_next(0.9995, 1.0) == pytest.approx(1.0005)
    assert until_next(0.5, 1.0) == pytest.approx(0.5)


@pytest.mark.parametrize("now", [0.0, 0.4, 0.899, 0.901, 0.99999, 7.0])
def test_a_pause_is_never_much_longer_than_its_period(now: float) -> None:
    assert 0.1 * 0.5 <= until_next(now, 0.5) <= 1.1 * 0.5

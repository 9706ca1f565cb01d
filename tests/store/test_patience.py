"""Waiting where it pays, and hardly anywhere else."""

from __future__ import annotations

from relayhub.store.patience import LONGEST_PAUSE, Patience


def left_out(patience: Patience) -> int:
    """Before the next wait."""
    times = 0
    while not patience.waits():
        times += 1
    return times


def test_each_wait_in_vain_leaves_out_more_of_the_next_ones() -> None:
    patience, pauses = Patience(), []
    for _ in range(8):
        pauses.append(left_out(patience))
        patience.note(paid=False)
    assert pauses == [0, 1, 3, 7, 15, 31, LONGEST_PAUSE, LONGEST_PAUSE]


def test_a_wait_that_paid_is_followed_by_another_at_once() -> None:
    patience = Patience()
    for _ in range(3):
        left_out(patience)
        patience.note(paid=False)
    left_out(patience)
    patience.note(paid=True)
    assert left_out(patience) == 0

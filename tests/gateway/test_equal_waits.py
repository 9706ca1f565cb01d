"""Each call that waits for its settlement is told when its own time is up, and never after it has ended."""

from __future__ import annotations

from collections.abc import Callable

from structlog.testing import capture_logs

from relayhub.gateway.equal_waits import EqualWaits
from tests.support.turned_loop import in_turned_time, pass_by, turned_loop

WAIT_S = 8.0


class Call:
    """``told_at``: whenever it was told, in loop time."""

    def __init__(self, then: Callable[[], object] = lambda: None) -> None:
        self.then = then
        self.told_at: list[float] = []

    def is_late(self) -> None:
        self.told_at.append(turned_loop().time())
        self.then()


@in_turned_time
async def test_each_one_is_told_when_its_own_time_is_up() -> None:
    waits, first, second = EqualWaits(WAIT_S), Call(), Call()
    waits.begin(first)
    await pass_by(3)
    waits.begin(second)
    assert turned_loop().armed() == [WAIT_S]  # one timer does
    await pass_by(4)
    assert first.told_at == []
    await pass_by(1)
    assert (first.told_at, second.told_at) == ([WAIT_S], [])
    await pass_by(2)
    assert second.told_at == []
    await pass_by(1)
    assert (first.told_at, second.told_at) == ([WAIT_S], [3 + WAIT_S])
    assert turned_loop().armed() == []


@in_turned_time
async def test_whoever_has_ended_is_not_told_and_the_others_are_at_their_time() -> None:
    waits, first, second = EqualWaits(WAIT_S), Call(), Call()
    waits.begin(first)
    await pass_by(3)
    waits.begin(second)
    assert waits.end(first)
    assert not waits.end(first)
    await pass_by(5)
    assert turned_loop().armed() == [3 + WAIT_S]
    await pass_by(3)
    assert (first.told_at, second.told_at) == ([], [3 + WAIT_S])


@in_turned_time
async def test_who_was_told_does_not_end_any_more() -> None:
    waits, call = EqualWaits(WAIT_S), Call()
    waits.begin(call)
    await pass_by(WAIT_S)
    assert call.told_at == [WAIT_S]
    assert not waits.end(call)


@in_turned_time
async def test_who_ends_while_another_one_is_told_is_not_told() -> None:
    waits, second = EqualWaits(WAIT_S), Call()
    first = Call(lambda: waits.end(second))
    waits.begin(first)
    await pass_by(1)
    waits.begin(second)
    await pass_by(WAIT_S - 1)
    await pass_by(WAIT_S)
    assert (first.told_at, second.told_at) == ([WAIT_S], [])


@in_turned_time
async def test_who_ends_while_another_one_is_told_in_the_same_moment_has_ended_or_is_told_and_not_both() -> None:
    waits, second, third = EqualWaits(WAIT_S), Call(), Call()
    ended: list[bool] = []
    first = Call(lambda: ended.append(waits.end(second)))
    for call in (first, second, third):
        waits.begin(call)
    await pass_by(WAIT_S)
    assert first.told_at == third.told_at == [WAIT_S]
    assert second.told_at == ([] if ended == [True] else [WAIT_S])


@in_turned_time
async def test_one_that_fails_keeps_no_other_from_being_told() -> None:
    def fail() -> None:
        raise RuntimeError("of no use")

    waits, calls = EqualWaits(WAIT_S), [Call(fail), Call(), Call(fail), Call()]
    for call in calls[:3]:
        waits.begin(call)
    await pass_by(3)
    waits.begin(calls[3])
    with capture_logs() as logs:
        await pass_by(WAIT_S - 3)
        assert [call.told_at for call in calls] == [[WAIT_S], [WAIT_S], [WAIT_S], []]
    assert [entry["log_level"] for entry in logs] == ["error", "error"]
    assert not waits.end(calls[0])
    await pass_by(3)
    assert calls[3].told_at == [3 + WAIT_S]
    assert turned_loop().armed() == []


@in_turned_time
async def test_one_that_begins_while_another_one_is_told_has_its_own_time() -> None:
    waits, later = EqualWaits(WAIT_S), Call()
    waits.begin(Call(lambda: waits.begin(later)))
    await pass_by(WAIT_S)
    await pass_by(WAIT_S - 1)
    assert later.told_at == []
    await pass_by(1)
    assert later.told_at == [2 * WAIT_S]
    assert turned_loop().armed() == []


@in_turned_time
async def test_one_that_begins_while_another_one_is_told_does_not_shift_those_that_wait() -> None:
    waits, second, later = EqualWaits(WAIT_S), Call(), Call()
    waits.begin(Call(lambda: waits.begin(later)))
    await pass_by(3)
    waits.begin(second)
    await pass_by(WAIT_S - 3)
    assert turned_loop().armed() == [3 + WAIT_S]
    await pass_by(3)
    assert (second.told_at, later.told_at) == ([3 + WAIT_S], [])
    await pass_by(WAIT_S - 3)
    assert later.told_at == [2 * WAIT_S]
    assert turned_loop().armed() == []


@in_turned_time
async def test_when_all_have_ended_it_rings_once_more_and_then_no_more() -> None:
    waits, call = EqualWaits(WAIT_S), Call()
    for _ in range(3):
        waits.begin(call)
        assert waits.end(call)
        await pass_by(1)
    assert turned_loop().armed() == [WAIT_S]
    await pass_by(WAIT_S - 3)
    assert turned_loop().armed() == []
    assert call.told_at == []
    waits.begin(call)
    await pass_by(WAIT_S)
    assert call.told_at == [2 * WAIT_S]

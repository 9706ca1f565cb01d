"""Idle connections are closed, and no others, by one timer for all."""

from __future__ import annotations

from relayhub.web.quick.door import QuickDoor
from relayhub.web.quick.open_doors import LOOKS, OpenDoors
from tests.support.front_door import FIRST, HEAD_S, Framework, Table, Wire
from tests.support.turned_loop import in_turned_time, pass_by, turned_loop

IDLE_S = 160.0
STEP_S = IDLE_S / LOOKS


class Watched(Table):
    """A desk whose doors are looked after."""

    def __init__(self) -> None:
        super().__init__()
        self.doors = OpenDoors(IDLE_S)

    def opened(self, door: QuickDoor) -> None:
        super().opened(door)
        self.doors.add(door)

    def closed(self, door: QuickDoor) -> None:
        super().closed(door)
        self.doors.discard(door)

    def connect(self) -> tuple[Wire, QuickDoor]:
        wire, door = Wire(), QuickDoor(self, Framework, HEAD_S)
        wire.connect(door)
        return wire, door


@in_turned_time
async def test_a_silent_connection_is_closed_once_its_time_is_over() -> None:
    desk = Watched()
    wire, _ = desk.connect()
    await pass_by(IDLE_S - STEP_S)
    assert not wire.closed
    await pass_by(2 * STEP_S)
    assert wire.closed


@in_turned_time
async def test_its_time_begins_anew_with_each_answer_and_does_not_run_before_it() -> None:
    desk = Watched()
    wire, door = desk.connect()
    wire.receive(FIRST)
    await pass_by(3 * IDLE_S)
    assert not wire.closed, "it waits for its answer"
    door.served()
    await pass_by(IDLE_S - STEP_S)
    assert not wire.closed
    await pass_by(2 * STEP_S)
    assert wire.closed


@in_turned_time
async def test_each_has_its_own_time() -> None:
    desk = Watched()
    first, _ = desk.connect()
    await pass_by(IDLE_S / 2)
    second, _ = desk.connect()
    await pass_by(IDLE_S / 2 + STEP_S)
    assert (first.closed, second.closed) == (True, False)
    first.lose()
    await pass_by(IDLE_S / 2)
    assert second.closed


@in_turned_time
async def test_nothing_is_looked_at_where_nobody_is() -> None:
    desk = Watched()
    wire, _ = desk.connect()
    wire.lose()
    await pass_by(STEP_S)
    assert turned_loop().armed() == []
    again, _ = desk.connect()
    assert len(turned_loop().armed()) == 1
    await pass_by(IDLE_S + STEP_S)
    assert again.closed, "whoever comes later is looked after all the same"

"""A client's connection at the front door: one clock for each head, and each connection counted once, wherever it goes on."""

from __future__ import annotations

import pytest

from relayhub.testing import FakeClock
from relayhub.web.head_timer import TOO_SLOW, HeadTimer
from relayhub.web.overload import HEALTH_ROOM, SHED, Overload
from relayhub.web.quick.door import QuickDoor
from tests.support.front_door import FIRST, HEAD_S, NOT_PLAIN, SERVED_FIRST, Entrance, Framework, Table, Wire
from tests.support.turned_loop import in_turned_time, pass_by

# Heads


@in_turned_time
async def test_a_head_that_goes_on_at_the_framework_keeps_its_clock() -> None:
    entrance = Entrance()
    await pass_by(100)
    entrance.wire.receive(b"P")
    await pass_by(6)
    entrance.wire.receive(b"UT /")
    assert entrance.framework.data == b"PUT /"
    await pass_by(3)
    entrance.wire.receive(b"a")
    assert (entrance.wire.written, entrance.wire.closed) == (b"", False)
    await pass_by(1)
    assert (entrance.wire.written, entrance.wire.closed) == (TOO_SLOW, True)
    entrance.left()


@in_turned_time
async def test_a_head_that_begins_at_the_framework_has_a_clock_of_its_own() -> None:
    entrance = Entrance()
    await pass_by(6)
    entrance.wire.receive(b"PUT /")
    await pass_by(HEAD_S - 1)
    assert not entrance.wire.closed
    await pass_by(1)
    assert (entrance.wire.written, entrance.wire.closed) == (TOO_SLOW, True)
    entrance.left()


@in_turned_time
async def test_a_head_that_is_completed_at_the_framework_has_no_clock_any_more() -> None:
    entrance = Entrance()
    entrance.wire.receive(b"P")
    await pass_by(6)
    entrance.wire.receive(b"UT /")
    entrance.timer.arrived()
    await pass_by(2 * HEAD_S)
    assert not entrance.wire.closed
    entrance.left()


@in_turned_time
async def test_a_head_that_is_never_completed_is_refused_by_the_clock_of_its_first_byte() -> None:
    entrance = Entrance()
    entrance.wire.behind.append(FIRST[30:])
    entrance.wire.receive(FIRST[:20])
    await pass_by(HEAD_S - 1)
    entrance.wire.receive(FIRST[20:30])
    assert not entrance.wire.closed
    await pass_by(1)
    assert (entrance.wire.written, entrance.wire.closed) == (TOO_SLOW, True)
    assert (entrance.served, entrance.framework.told) == ([], [])
    entrance.left()


@in_turned_time
async def test_a_head_that_is_completed_in_time_has_no_clock_any_more() -> None:
    entrance = Entrance()
    entrance.wire.receive(FIRST[:20])
    await pass_by(HEAD_S - 1)
    entrance.wire.receive(FIRST[20:])
    await pass_by(2 * HEAD_S)
    assert (entrance.served, entrance.wire.written) == (SERVED_FIRST, b"")
    entrance.door.served()
    entrance.left()


# Connections


@pytest.mark.parametrize("kind", ["door", "framework"])
@in_turned_time
async def test_a_connection_that_has_no_room_is_not_counted(kind: str) -> None:
    overload, table, framework, wire = Overload(FakeClock(), 100, 1), Table(), Framework(), Wire()
    there = 1 + HEALTH_ROOM
    assert all(overload.enter() for _ in range(there))
    wire.behind.append(FIRST)
    wire.connect(
        QuickDoor(table, lambda: framework, HEAD_S, overload)
        if kind == "door"
        else HeadTimer(framework, HEAD_S, overload)
    )
    assert (wire.written, wire.closed, overload.clients) == (SHED, True, there)
    wire.lose()
    assert overload.clients == there
    assert (table.served, table.known, framework.told) == ([], set(), [])


@in_turned_time
async def test_a_connection_is_counted_until_it_is_lost() -> None:
    entrance = Entrance()
    assert entrance.overload.clients == 1
    entrance.left()


@in_turned_time
async def test_a_connection_that_was_handed_over_is_counted_once_and_until_it_is_lost() -> None:
    entrance = Entrance()
    entrance.wire.receive(NOT_PLAIN)
    assert entrance.framework.data == NOT_PLAIN
    assert (entrance.overload.clients, entrance.table.known) == (1, set())
    entrance.timer.arrived()
    entrance.left()
    assert entrance.framework.told == ["made", "data", "lost"]


@pytest.mark.parametrize("congested", [True, False])
@in_turned_time
async def test_the_framework_knows_that_the_client_does_not_keep_up(congested: bool) -> None:
    entrance = Entrance()
    entrance.door.pause_writing()
    if not congested:
        entrance.door.resume_writing()
    entrance.wire.receive(NOT_PLAIN)
    entrance.timer.resume_writing()
    assert entrance.framework.told == ["made", *["pause"] * congested, "data", "resume"]

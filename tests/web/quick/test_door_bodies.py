"""Bodies at the front door: a call begins once with all of its body, after the one before it, and not where nothing can be
answered any more."""

from __future__ import annotations

import pytest

from relayhub.web.quick.door import AHEAD
from tests.support.front_door import FIRST, SECOND, SERVED_BOTH, SERVED_FIRST, Entrance
from tests.support.turned_loop import in_turned_time, pass_by


@pytest.mark.parametrize("behind", [[b"45"], [b"4", b"5"], [b"45" + SECOND], [b"45", SECOND]])
@in_turned_time
async def test_a_body_that_was_refused_begins_no_call_when_its_rest_comes(behind: list[bytes]) -> None:
    entrance = Entrance()
    entrance.wire.behind += behind
    entrance.wire.receive(FIRST[:-2])
    await pass_by(entrance.table.body_timeout_s)
    assert entrance.wire.closed
    assert entrance.wire.behind == []
    entrance.wire.receive(SECOND)
    assert (entrance.served, entrance.framework.told) == ([], [])
    assert entrance.wire.written.count(b"HTTP/1.1 408 ") == entrance.wire.written.count(b"HTTP/1.1 ") == 1
    entrance.left()


@in_turned_time
async def test_a_body_that_comes_in_time_begins_a_call() -> None:
    entrance = Entrance()
    entrance.wire.receive(FIRST[:-2])
    await pass_by(entrance.table.body_timeout_s - 1)
    entrance.wire.receive(FIRST[-2:])
    await pass_by(2)
    assert (entrance.served, entrance.wire.written) == (SERVED_FIRST, b"")
    entrance.door.served()
    entrance.left()


@pytest.mark.parametrize("cut", [1, 20, len(FIRST) - 2, len(FIRST), len(FIRST) + 1, len(FIRST + SECOND) - 1])
@in_turned_time
async def test_what_is_behind_a_request_waits_until_that_is_served(cut: int) -> None:
    entrance, both = Entrance(), FIRST + SECOND
    entrance.wire.receive(both[:cut])
    entrance.wire.receive(both[cut:])
    assert entrance.served == SERVED_FIRST
    entrance.door.served()
    assert entrance.served == SERVED_BOTH
    assert entrance.table.in_flight == 1
    entrance.door.served()
    assert entrance.table.in_flight == 0
    entrance.left()


@in_turned_time
async def test_nobody_sends_ahead_without_end() -> None:
    entrance = Entrance()
    entrance.wire.receive(FIRST)
    entrance.wire.receive(SECOND + bytes(AHEAD - len(SECOND)))
    assert entrance.wire.flow == []
    entrance.wire.receive(b"1")
    assert entrance.wire.flow == ["pause"]
    entrance.door.served()
    assert entrance.wire.flow == ["pause", "resume"]
    assert entrance.served == SERVED_BOTH


@in_turned_time
async def test_a_client_that_leaves_cancels_its_call_and_what_is_behind_it_is_forgotten() -> None:
    entrance = Entrance()
    entrance.wire.receive(FIRST + SECOND)
    entrance.wire.lose()
    assert [call.cancelled for call in entrance.table.served] == [True]
    entrance.door.served()
    assert entrance.served == SERVED_FIRST
    assert (entrance.overload.clients, entrance.table.in_flight) == (0, 0)

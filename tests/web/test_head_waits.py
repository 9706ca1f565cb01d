"""One timer for all streams that nobody has heard of yet."""

from __future__ import annotations

import asyncio

from relayhub.web.head_waits import HeadWaits

WAIT_S = 0.05


class Stream:
    def __init__(self, heard: list[Stream]) -> None:
        self._heard = heard

    def head_is_late(self) -> None:
        self._heard.append(self)


async def test_each_is_told_when_it_has_waited_long_enough() -> None:
    loop = asyncio.get_running_loop()
    waits, heard = HeadWaits(WAIT_S), list[Stream]()
    first, second = Stream(heard), Stream(heard)
    began = loop.time()
    waits.begin(first, began)
    await asyncio.sleep(WAIT_S / 2)
    waits.begin(second, loop.time())
    while not heard:
        await asyncio.sleep(0.001)
    assert heard == [first]
    assert loop.time() - began >= WAIT_S
    while len(heard) < 2:
        await asyncio.sleep(0.001)
    assert heard == [first, second]
    assert loop.time() - began >= 1.5 * WAIT_S


async def test_who_has_been_told_waits_no_more() -> None:
    loop = asyncio.get_running_loop()
    waits, heard = HeadWaits(WAIT_S), list[Stream]()
    told, silent = Stream(heard), Stream(heard)
    for stream in (told, silent):
        waits.begin(stream, loop.time())
    waits.end(told)
    waits.end(told)
    await asyncio.sleep(2 * WAIT_S)
    assert heard == [silent]


async def test_it_goes_on_after_a_pause() -> None:
    loop = asyncio.get_running_loop()
    waits, heard = HeadWaits(WAIT_S), list[Stream]()
    only = Stream(heard)
    for _ in range(2):
        waits.begin(only, loop.time())
        await asyncio.sleep(2 * WAIT_S)
    assert heard == [only, only]

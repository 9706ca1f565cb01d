"""Calls that may go on without their clients: who ends them, and what whoever waits is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import cast

import pytest

from relayhub.gateway.call import Client, ClientLeft
from relayhub.gateway.departure import Departure, LeavingTerms
from relayhub.gateway.draining import Drains
from relayhub.gateway.open_calls import OpenCalls
from relayhub.gateway.tally import Tally
from relayhub.routing.catalog import Route
from relayhub.types.call import Principal
from relayhub.types.errors import ErrorKind, HubError
from relayhub.types.on_disconnect import OnDisconnect
from relayhub.types.share import Share

DRAIN, ABORT, VOID = OnDisconnect.DRAIN, OnDisconnect.ABORT_AND_ESTIMATE, OnDisconnect.VOID


class Reader:
    """A client that is there until it is told to be gone."""

    status = 200
    gone = False

    def __init__(self) -> None:
        self.got = b""

    def note_dropped(self, names: Sequence[str]) -> None:
        raise AssertionError(names)

    async def reply(self, body: bytes, content_type: str) -> None:
        await self.write(body)

    def push(self, frames: bytes) -> bool:
        return False

    async def write(self, frames: bytes) -> None:
        if self.gone:
            raise ClientLeft
        self.got += frames

    async def end(self, frames: bytes) -> None:
        await self.write(frames)


@dataclass
class Bench:
    """One call, which writes a word whenever it is told to go on."""

    terms: LeavingTerms = field(default_factory=lambda: LeavingTerms(DRAIN))
    drains: Drains = field(default_factory=Drains)
    calls: OpenCalls = field(default_factory=OpenCalls)
    reader: Reader = field(default_factory=Reader)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    told: list[str] = field(default_factory=list)
    sent: bool = True

    def __post_init__(self) -> None:
        self.departure = Departure(DRAIN)
        call = SimpleNamespace(id="req_1", principal=SimpleNamespace(key_id="key_1"))
        self.tally = SimpleNamespace(call=call, departure=self.departure, sent=self.sent, settled=False, model="m")

    async def work(self, client: Client) -> None:
        try:
            await client.write(b"one ")
            await self.go_on.wait()
            await client.write(b"two ")
            await client.end(b"three")
            self.told.append("finished")
        except (asyncio.CancelledError, ClientLeft):
            await asyncio.sleep(0)  # as settling takes its time
            error = self.calls.cancelled_by_hub()
            self.told.append(error.code if error else "aborted")
            if error is not None:
                raise error from None
            raise

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[asyncio.Task[None]]:
        """The task of its handler, once the first word is written."""
        tally = cast("Tally", self.tally)
        handler = asyncio.create_task(self.drains.serve(self.work, self.reader, tally, self.terms, self.calls))
        while not self.reader.got:
            await asyncio.sleep(0)
        yield handler
        await self.drains.close()
        assert (len(self.drains), len(self.calls)) == (0, 0)


async def until_over(calls: OpenCalls) -> None:
    assert await calls.drain(5) == 0


async def test_a_call_whose_client_stays_is_served_as_ever() -> None:
    bench = Bench()
    async with bench.serving() as handler:
        bench.go_on.set()
        await handler
    assert (bench.reader.got, bench.told, bench.departure.left) == (b"one two three", ["finished"], False)


async def test_it_goes_on_when_its_handler_is_cancelled() -> None:
    bench = Bench()
    async with bench.serving() as handler:
        handler.cancel()
        with pytest.raises(asyncio.CancelledError):
            await handler
        assert (len(bench.drains), len(bench.calls), bench.departure.left) == (1, 1, True)
        bench.go_on.set()
        await until_over(bench.calls)
    assert (bench.reader.got, bench.told, bench.departure.policy) == (b"one ", ["finished"], DRAIN)


async def test_it_goes_on_when_a_write_finds_the_client_gone() -> None:
    bench = Bench()
    async with bench.serving() as handler:
        bench.reader.gone = True
        bench.go_on.set()
        await handler
    assert (bench.told, bench.departure.left) == (["finished"], True)


@pytest.mark.parametrize("by_write", [False, True])
async def test_without_room_it_is_aborted(by_write: bool) -> None:
    bench = Bench(LeavingTerms(DRAIN, drains=0))
    async with bench.serving() as handler:
        if by_write:
            bench.reader.gone = True
            bench.go_on.set()
        else:
            handler.cancel()
        with pytest.raises((asyncio.CancelledError, ClientLeft)):
            await handler
        assert bench.told == ["aborted"]
    assert (bench.departure.left, bench.departure.policy) == (False, ABORT)


async def test_what_was_not_sent_is_not_drained() -> None:
    bench = Bench(sent=False)
    async with bench.serving() as handler:
        handler.cancel()
        with pytest.raises(asyncio.CancelledError):
            await handler
    assert (bench.told, bench.departure.policy) == (["aborted"], ABORT)


async def test_it_ends_at_its_limit() -> None:
    bench = Bench(LeavingTerms(DRAIN, drain_s=0))
    async with bench.serving() as handler:
        handler.cancel()
        await until_over(bench.calls)
    assert (bench.told, bench.departure.policy) == (["aborted"], DRAIN)


async def test_a_handler_that_waits_is_told_why_the_hub_ended_it() -> None:
    bench = Bench()
    async with bench.serving() as handler:
        assert await bench.calls.cut_off() == 1
        with pytest.raises(HubError, match="shutting down"):
            await handler
    assert bench.told == ["shutting_down"]


async def test_a_handler_that_is_cut_off_too_is_told_the_same() -> None:
    """Calls with a name, and those of tickets, are counted themselves."""
    bench = Bench()
    reason = HubError(ErrorKind.UNAVAILABLE, "The key is gone.", code="gone")

    async def handle() -> int:
        tally = cast("Tally", bench.tally)
        with bench.calls.track("key_1"), pytest.raises(HubError, match="The key is gone"):
            await bench.drains.serve(bench.work, bench.reader, tally, bench.terms, bench.calls)
        task = asyncio.current_task()
        return -1 if task is None else task.cancelling()

    handler = asyncio.create_task(handle())
    while not bench.reader.got:
        await asyncio.sleep(0)
    assert bench.calls.cut_key("key_1", reason) == 2
    assert (await handler, bench.told, bench.departure.left, len(bench.calls)) == (0, ["gone"], False, 0)


async def test_a_call_that_has_not_run_yet_is_found_by_a_shutdown() -> None:
    bench = Bench()
    tally = cast("Tally", bench.tally)
    handler = asyncio.create_task(bench.drains.serve(bench.work, bench.reader, tally, bench.terms, bench.calls))
    await asyncio.sleep(0)
    assert (len(bench.calls), bench.reader.got) == (1, b"")
    assert await bench.calls.cut_off() == 1
    with pytest.raises(HubError, match="shutting down"):
        await handler


# --- which policy -------------------------------------------------------------------------------------------------------


def policy(key: OnDisconnect | None, *routes: tuple[OnDisconnect | None, int], may_drain: bool = True) -> OnDisconnect:
    principal = Principal("key_1", "key", "acc_1", on_disconnect=key)
    listed = [cast("Route", SimpleNamespace(on_disconnect=said, fallback=fallback)) for said, fallback in routes]
    return LeavingTerms(ABORT).departure(principal, listed, may_drain=may_drain).policy


@pytest.mark.parametrize(
    ("key", "routes", "expected"),
    [
        (None, [(None, 0)], ABORT),
        (None, [(VOID, 0)], VOID),
        (DRAIN, [(VOID, 0)], DRAIN),
        (ABORT, [(VOID, 0)], ABORT),
        (None, [(None, 0), (VOID, 0), (DRAIN, 0)], VOID),
        (None, [(None, 0), (VOID, 1)], ABORT),
    ],
    ids=["config", "model", "key", "key_says_the_default", "first_that_says_something", "not_of_a_fall_back"],
)
def test_the_key_then_the_model_then_the_config(
    key: OnDisconnect | None, routes: list[tuple[OnDisconnect | None, int]], expected: OnDisconnect
) -> None:
    assert policy(key, *routes) is expected


def test_a_call_that_needs_its_client_is_not_drained() -> None:
    assert policy(DRAIN, may_drain=False) is ABORT
    assert policy(VOID, may_drain=False) is VOID


@pytest.mark.parametrize("workers", [1, 3, 16, 17, 64])
def test_the_cap_of_all_processes_together_is_the_configured_one(workers: int) -> None:
    assert sum(Share(number, workers).exact(16) for number in range(1, workers + 1)) == 16

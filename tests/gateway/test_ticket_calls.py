"""Calls of stream tickets: begun once, run without a connection, followed from anywhere, and ended whatever happens."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import orjson
import pytest

from relayhub.dialects.codec import Envelope
from relayhub.dialects.sse import data_of
from relayhub.gateway.call import Call, Client
from relayhub.gateway.open_calls import OpenCalls
from relayhub.gateway.tickets import calls as calls_module
from relayhub.gateway.tickets import live as live_module
from relayhub.gateway.tickets.calls import DESERTED_S, FOLLOWER_NOTED_S, TicketCalls
from relayhub.gateway.tickets.follower import Follower
from relayhub.sdk.clock import SystemClock
from relayhub.store.store import Store
from relayhub.store.tickets import OPEN_S, TicketState
from relayhub.types.call import Dialect, Operation, Principal
from relayhub.types.errors import ErrorKind, HubError, UpstreamError
from tests.support.books import Books, open_books

DONE = b"data: [DONE]\n\n"
PATIENCE_S = 20


class TurnedClock(SystemClock):
    """The real one, which a test can also turn forward."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def now(self) -> float:
        return super().now() + self.ahead_s

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead_s


Script = Callable[[Client], Awaitable[None]]


class Scripted:
    """In the pipeline's place: answers as the test says."""

    def __init__(self) -> None:
        self.begun = 0
        self.errors: list[BaseException] = []
        self.script: Script = hello

    async def __call__(self, call: Call, client: Client) -> None:
        self.begun += 1
        try:
            await self.script(client)
        except BaseException as error:
            self.errors.append(error)
            raise


async def hello(client: Client) -> None:
    await client.write(b'data: {"n":1}\n\n')
    await client.write(b'data: {"n":2}\n\n')
    await client.end(DONE)


class Desk:
    """One process's part: a store, the calls, and a clock."""

    def __init__(self, store: Store, clock: TurnedClock) -> None:
        self.store = store
        self.clock = clock
        self.served = Scripted()
        self.open_calls = OpenCalls()
        self.calls = TicketCalls(self.served, store.tickets, self.open_calls, clock)

    async def open(self) -> None:
        await self.calls.open("t", "req_1", call_of)

    async def follower(self, after: int = 0) -> Follower:
        ticket = await self.store.tickets.find("t", self.clock.now())
        assert ticket is not None
        return Follower(self.calls, ticket, after)

    async def read(self, after: int = 0) -> list[tuple[int, bytes]]:
        return await read_all(await self.follower(after))


async def read_all(follower: Follower) -> list[tuple[int, bytes]]:
    events: list[tuple[int, bytes]] = []
    async with asyncio.timeout(PATIENCE_S):
        while (frames := await follower.next()) is not None:
            events += numbered(frames)
    return events


def numbered(frames: bytes) -> list[tuple[int, bytes]]:
    found = []
    for frame in frames.split(b"\n\n")[:-1]:
        first, _, rest = frame.partition(b"\n")
        data = data_of(rest + b"\n\n")
        assert data is not None
        found.append((int(first.removeprefix(b"id: ")), data))
    return found


def call_of(body: bytes) -> Call:
    envelope = Envelope("m", True, False, None, 1, None)
    principal = Principal("key", "key", "account")
    return Call("req_1", principal, Operation.CHAT, Dialect.OPENAI_CHAT, body, envelope, 0.0)


@asynccontextmanager
async def desk_on(path: Path, books: Books, clock: TurnedClock) -> AsyncIterator[Desk]:
    store = await Store.open(path, clock=clock)
    desk = Desk(store, clock)
    async with desk.calls.running():
        yield desk
    await store.close()


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


@pytest.fixture
async def books(tmp_path: Path, clock: TurnedClock) -> AsyncIterator[Books]:
    async with open_books(tmp_path / "books.db", clock=clock) as books:
        await books.store.tickets.create("t", books.issued.key.id, None, b"{}", clock.now())
        yield books


@pytest.fixture
async def desk(tmp_path: Path, books: Books, clock: TurnedClock) -> AsyncIterator[Desk]:
    async with desk_on(tmp_path / "books.db", books, clock) as desk:
        yield desk


@pytest.fixture
async def other(tmp_path: Path, books: Books, clock: TurnedClock) -> AsyncIterator[Desk]:
    """Another process of the same hub."""
    async with desk_on(tmp_path / "books.db", books, clock) as desk:
        yield desk


WHOLE = [(1, b'{"n":1}'), (2, b'{"n":2}'), (3, b"[DONE]")]


async def test_however_often_it_is_opened_there_is_one_call(desk: Desk, other: Desk) -> None:
    await asyncio.gather(*(here.open() for here in [desk, other] * 10))
    assert await asyncio.gather(desk.read(), other.read(), desk.read(1), other.read(2)) == [
        WHOLE,
        WHOLE,
        WHOLE[1:],
        WHOLE[2:],
    ]
    assert desk.served.begun + other.served.begun == 1


async def test_it_is_resumed_after_any_event_while_it_runs_and_after_its_end(desk: Desk, other: Desk) -> None:
    go_on = asyncio.Event()

    async def script(client: Client) -> None:
        await client.write(b'data: {"n":1}\n\n')
        await client.write(b'data: {"n":2}\n\n')
        await go_on.wait()
        await client.end(DONE)

    desk.served.script = script
    await desk.open()
    for here in (desk, other):
        for after in (0, 1):
            follower = await here.follower(after)
            assert await first_of(follower) == WHOLE[after:2]
    waiting = asyncio.create_task(other.read(2))
    go_on.set()
    assert await waiting == WHOLE[2:]
    assert [await other.read(after) for after in range(4)] == [WHOLE[after:] for after in range(4)]


async def first_of(follower: Follower) -> list[tuple[int, bytes]]:
    events: list[tuple[int, bytes]] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(events) < 1 or events[-1][0] < 2:
            events += numbered(await follower.next() or b"")
    return events


async def test_what_is_no_longer_in_memory_comes_from_the_store(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "MAX_RECENT", 10)
    written, go_on = asyncio.Event(), asyncio.Event()

    async def script(client: Client) -> None:
        for n in range(100):
            await client.write(b"data: %d\n\n" % n)
        written.set()
        await go_on.wait()
        await client.end(DONE)

    desk.served.script = script
    await desk.open()
    await written.wait()
    reading = asyncio.create_task(desk.read())
    go_on.set()
    events = await reading
    assert [number for number, _ in events] == list(range(1, 102))
    assert events[-2:] == [(100, b"99"), (101, b"[DONE]")]


async def test_nothing_is_shown_before_it_is_stored(desk: Desk, tmp_path: Path) -> None:
    written, go_on = asyncio.Event(), asyncio.Event()

    async def script(client: Client) -> None:
        await go_on.wait()
        await client.write(b'data: {"n":1}\n\n')
        written.set()
        await client.write(b'data: {"n":2}\n\n')
        await client.end(DONE)

    desk.served.script = script
    await desk.open()
    with closing(sqlite3.connect(tmp_path / "books.db", isolation_level=None)) as blocker:
        blocker.execute("BEGIN IMMEDIATE")
        go_on.set()
        await written.wait()
        live = desk.calls.live("t")
        assert live is not None
        assert live.after(0) == []
        assert not live.ended
        blocker.execute("ROLLBACK")
    assert await desk.read() == WHOLE


async def test_an_error_is_the_last_event_and_there_is_no_done(desk: Desk) -> None:
    async def script(client: Client) -> None:
        await client.write(b'data: {"n":1}\n\n')
        raise UpstreamError(ErrorKind.UPSTREAM_FAILED, "It broke.", code="broke", retryable=False, delivered=True)

    desk.served.script = script
    await desk.open()
    events = await desk.read()
    assert len(events) == 2
    assert orjson.loads(events[1][1])["error"]["code"] == "broke"
    assert orjson.loads(events[1][1])["error"]["request_id"] == "req_1"
    assert await ended(desk)


async def test_a_bug_is_told_without_its_reason(desk: Desk) -> None:
    async def script(client: Client) -> None:
        raise RuntimeError("Canary")

    desk.served.script = script
    await desk.open()
    ((_, data),) = await desk.read()
    assert orjson.loads(data)["error"]["code"] == "internal_error"
    assert b"Canary" not in data


async def ended(desk: Desk) -> bool:
    ticket = await desk.store.tickets.find("t", desk.clock.now())
    return ticket is not None and ticket.state is TicketState.ENDED


async def test_what_an_upstream_says_besides_its_data_does_not_reach_the_browser(desk: Desk) -> None:
    async def script(client: Client) -> None:
        await client.write(b": comment\n\nid: 99\nevent: other\nretry: 1\ndata: one\ndata: two\n\n")
        await client.end(b"id: 7\r\ndata: three\r\n\r\n")

    desk.served.script = script
    await desk.open()
    follower = await desk.follower()
    frames = b""
    while (more := await follower.next()) is not None:
        frames += more
    assert frames == b"id: 1\ndata: one\ndata: two\n\nid: 2\ndata: three\n\n"


async def test_dropped_fields_are_known_with_the_first_event_everywhere(desk: Desk, other: Desk) -> None:
    async def script(client: Client) -> None:
        client.note_dropped(["seed", "logit_bias"])
        await hello(client)

    desk.served.script = script
    await desk.open()
    for here in (desk, other):
        follower = await here.follower()
        await read_all(follower)
        assert follower.dropped == "seed, logit_bias"


async def forever(client: Client) -> None:
    await client.write(b'data: {"n":1}\n\n')
    await asyncio.Event().wait()


async def test_a_call_goes_on_without_readers_for_a_while_and_is_ended_then(desk: Desk, clock: TurnedClock) -> None:
    desk.served.script = forever
    await desk.open()
    clock.ahead_s += DESERTED_S - 5
    await desk.calls.tend()
    assert desk.served.errors == []
    clock.ahead_s += 5
    await desk.calls.tend()
    events = await desk.read()
    assert [type(error) for error in desk.served.errors] == [asyncio.CancelledError], "the client left"
    assert orjson.loads(events[-1][1])["error"]["code"] == "ticket_deserted"


async def test_readers_keep_it_alive_here(desk: Desk, clock: TurnedClock) -> None:
    desk.served.script = forever
    await desk.open()
    clock.ahead_s += DESERTED_S + 1
    await (await desk.follower()).next()
    await desk.calls.tend()
    assert desk.served.errors == []


async def test_readers_keep_it_alive_elsewhere(desk: Desk, other: Desk, clock: TurnedClock) -> None:
    desk.served.script = forever
    await desk.open()
    follower = await other.follower(after=1)
    clock.ahead_s += DESERTED_S + 1
    while await follower.next() != b"":
        pass
    await desk.calls.tend()
    assert desk.served.errors == []
    clock.ahead_s += DESERTED_S + 3 * FOLLOWER_NOTED_S
    await desk.calls.tend()
    assert orjson.loads((await other.read(1))[0][1])["error"]["code"] == "ticket_deserted"


async def test_a_drain_waits_until_the_end_is_stored(desk: Desk, other: Desk) -> None:
    go_on = asyncio.Event()

    async def script(client: Client) -> None:
        await go_on.wait()
        await hello(client)

    desk.served.script = script
    await desk.open()
    draining = asyncio.create_task(desk.open_calls.drain(PATIENCE_S))
    go_on.set()
    assert await draining == 0
    assert await ended(other)
    assert await other.read() == WHOLE


async def test_a_cut_off_call_says_so(desk: Desk, other: Desk) -> None:
    desk.served.script = forever
    await desk.open()
    assert await desk.open_calls.drain(0) == 1
    events = await other.read()
    assert orjson.loads(events[-1][1])["error"]["code"] == "shutting_down"


async def test_on_leaving_what_still_runs_is_ended_and_written(
    tmp_path: Path, books: Books, other: Desk, clock: TurnedClock
) -> None:
    async with desk_on(tmp_path / "books.db", books, clock) as desk:
        desk.served.script = forever
        await desk.open()
    events = await other.read()
    assert orjson.loads(events[-1][1])["error"]["code"] == "shutting_down"


async def test_a_caller_who_leaves_while_opening_leaves_no_ticket_without_a_call(desk: Desk) -> None:
    opening = asyncio.create_task(desk.open())
    await asyncio.sleep(0)
    opening.cancel()
    await asyncio.gather(opening, return_exceptions=True)
    assert await desk.open_calls.drain(PATIENCE_S) == 0
    assert await desk.read() == WHOLE


async def test_an_expired_ticket_begins_nothing(desk: Desk, clock: TurnedClock) -> None:
    clock.ahead_s += OPEN_S
    await desk.open()
    assert desk.served.begun == 0
    assert desk.calls.live("t") is None


async def test_a_store_that_cannot_be_used_is_said_to_the_caller(desk: Desk) -> None:
    async def broken(*_: object) -> None:
        raise HubError(ErrorKind.UNAVAILABLE, "no", code="store_unavailable")

    desk.store.tickets.claim = broken  # type: ignore[method-assign,assignment]
    with pytest.raises(HubError):
        await desk.open()


async def test_a_slow_store_holds_the_upstream_back_and_loses_nothing(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_module, "MAX_UNSTORED", 1000)
    written = 0
    go_on = asyncio.Event()

    async def script(client: Client) -> None:
        nonlocal written
        await go_on.wait()
        for _ in range(50):
            written += 1
            await client.write(b"data: %b\n\n" % (b"x" * 100))
        await client.end(DONE)

    desk.served.script = script
    await desk.open()
    with closing(sqlite3.connect(tmp_path / "books.db", isolation_level=None)) as blocker:
        blocker.execute("BEGIN IMMEDIATE")
        go_on.set()
        while written < 11:
            await asyncio.sleep(0)
        for _ in range(100):
            await asyncio.sleep(0)
        assert written == 11, "one more than fits has to wait"
        blocker.execute("ROLLBACK")
    assert len(await desk.read()) == 51


async def test_a_store_that_stays_out_of_reach_ends_the_call(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_module, "MAX_UNSTORED", 0)
    monkeypatch.setattr(live_module, "STORE_WAIT_S", 0.05)
    monkeypatch.setattr(live_module, "SETTLEMENT_WAIT_S", 0.05)
    go_on = asyncio.Event()

    async def script(client: Client) -> None:
        await go_on.wait()
        await hello(client)

    desk.served.script = script
    await desk.open()
    with closing(sqlite3.connect(tmp_path / "books.db", isolation_level=None)) as blocker:
        blocker.execute("BEGIN IMMEDIATE")
        go_on.set()
        assert await desk.open_calls.drain(PATIENCE_S) == 0
        (error,) = desk.served.errors
        assert isinstance(error, HubError)
        blocker.execute("ROLLBACK")
    events = await desk.read()
    assert events[0] == WHOLE[0]
    assert orjson.loads(events[-1][1])["error"]["code"] == "store_unavailable", "written when the store recovered"


async def test_an_answer_beyond_the_limit_ends_with_an_error(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "MAX_ANSWER", 1000)

    async def script(client: Client) -> None:
        while True:
            await client.write(b"data: %b\n\n" % (b"x" * 300))

    desk.served.script = script
    await desk.open()
    events = await desk.read()
    assert len(events) == 5
    assert orjson.loads(events[-1][1])["error"]["code"] == "ticket_answer_too_long"


async def test_followers_of_a_dead_process_are_told(
    desk: Desk, other: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.served.script = forever
    await desk.open()
    follower = await other.follower()
    assert numbered(await follower.next() or b"") in ([], WHOLE[:1])
    with closing(sqlite3.connect(tmp_path / "books.db")) as connection, connection:
        connection.execute("DELETE FROM epochs")
    events = await other.read()
    assert events[0] == WHOLE[0]
    assert orjson.loads(events[-1][1])["error"]["code"] == "ticket_lost"


async def test_a_process_that_was_taken_for_dead_ends_its_call(desk: Desk, other: Desk, tmp_path: Path) -> None:
    go_on = asyncio.Event()

    async def script(client: Client) -> None:
        await client.write(b'data: {"n":1}\n\n')
        await go_on.wait()
        while True:
            await client.write(b'data: {"n":2}\n\n')
            await asyncio.sleep(0)

    desk.served.script = script
    await desk.open()
    with closing(sqlite3.connect(tmp_path / "books.db")) as connection, connection:
        connection.execute("DELETE FROM epochs")
    await other.calls.tend()
    go_on.set()
    assert await desk.open_calls.drain(PATIENCE_S) == 0
    assert [getattr(error, "code", "") for error in desk.served.errors] == ["ticket_lost"]
    assert await desk.read() == await other.read()


def test_misses_of_a_followers_notes_do_not_end_a_call() -> None:
    assert calls_module.FOLLOWER_NOTED_S * 3 < DESERTED_S

"""Stream tickets in the database: one call each, events that every process can resume, nothing kept longer than said."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from relayhub.store import tickets as module
from relayhub.store.store import Store
from relayhub.store.tickets import OPEN_S, REMEMBERED_S, REPLAY_S, NewEvents, TicketState
from relayhub.testing import FakeClock
from relayhub.types.errors import ClientError, ErrorKind
from tests.support.books import Books, open_books

ROOT = Path(__file__).parent.parent.parent
REQUEST = b'{"model": "m", "messages": [{"role": "user", "content": "Canary"}]}'
NOW = 1000.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "books.db"


@pytest.fixture
async def books(path: Path) -> AsyncIterator[Books]:
    async with open_books(path) as opened:
        yield opened


@pytest.fixture
async def other(books: Books, path: Path) -> AsyncIterator[Store]:
    """A second store on the same file, as another process would have it."""
    store = await Store.open(path, clock=FakeClock())
    yield store
    await store.close()


async def waiting(books: Books, ticket_id: str = "t", now: float = NOW, request: bytes = REQUEST) -> str:
    await books.store.tickets.create(ticket_id, books.issued.key.id, "https://app.example", request, now)
    return ticket_id


async def running(books: Books, ticket_id: str = "t") -> str:
    assert await books.store.tickets.claim(await waiting(books, ticket_id), "req_1", NOW) == REQUEST
    return ticket_id


async def append(store: Store, first: int, *events: bytes, end: bool = False, now: float = NOW) -> bool:
    return bool(await store.tickets.append([NewEvents("t", first, events, "", end)], now))


async def events(store: Store, after: int = 0) -> list[tuple[int, bytes]]:
    progress = await store.tickets.progress("t", after, NOW)
    assert progress is not None
    return list(progress.events)


async def state(store: Store, now: float = NOW) -> TicketState | None:
    found = await store.tickets.find("t", now)
    return None if found is None else found.state


async def test_a_ticket_waits_with_what_it_is_bound_to(books: Books, other: Store) -> None:
    await waiting(books)
    found = await other.tickets.find("t", NOW)
    assert found is not None
    assert (found.key_id, found.origin, found.state) == (
        books.issued.key.id,
        "https://app.example",
        TicketState.WAITING,
    )
    assert (found.expires_at, found.last_event, found.orphaned) == (NOW + OPEN_S, 0, False)
    assert await other.tickets.find("another", NOW) is None


async def test_of_many_that_open_it_in_two_processes_one_gets_the_request(books: Books, other: Store) -> None:
    await waiting(books)
    stores = [books.store, other] * 10
    claims = await asyncio.gather(*(s.tickets.claim("t", f"req_{n}", NOW) for n, s in enumerate(stores)))
    assert sorted(claims, key=bool) == [None] * 19 + [REQUEST]
    found = await other.tickets.find("t", NOW)
    assert found is not None
    assert (found.state, found.call_id) == (TicketState.RUNNING, f"req_{claims.index(REQUEST)}")


async def test_it_cannot_be_opened_after_its_time(books: Books) -> None:
    await waiting(books)
    assert await books.store.tickets.claim("t", "req_1", NOW + OPEN_S) is None
    assert await state(books.store) is TicketState.WAITING


async def test_the_other_process_reads_what_was_appended_after_any_event(books: Books, other: Store) -> None:
    await running(books)
    assert await append(books.store, 1, b"one", b"two")
    assert await append(books.store, 3, b"three")
    assert await append(books.store, 4, b"four", end=True)
    everything = [(1, b"one"), (2, b"two"), (3, b"three"), (4, b"four")]
    for after in range(5):
        assert await events(other, after) == everything[after:]
    assert await state(other) is TicketState.ENDED


async def test_an_end_without_events_keeps_the_last_number(books: Books) -> None:
    await running(books)
    await append(books.store, 1, b"one")
    await append(books.store, 2, end=True)
    found = await books.store.tickets.find("t", NOW)
    assert found is not None
    assert (found.last_event, found.state) == (1, TicketState.ENDED)


async def test_several_tickets_share_a_transaction(books: Books) -> None:
    await running(books, "a")
    await running(books, "b")
    runs = [NewEvents(name, 1, (b"x",), "seed, user", False) for name in ("a", "b", "unknown")]
    assert await books.store.tickets.append(runs, NOW) == {"a", "b"}
    found = await books.store.tickets.find("b", NOW)
    assert found is not None
    assert (found.last_event, found.dropped) == (1, "seed, user")


async def test_only_the_process_that_runs_it_can_append(books: Books, other: Store) -> None:
    await running(books)
    assert not await append(other, 1, b"forged")
    assert await events(other) == []


async def test_nothing_is_appended_after_the_end(books: Books) -> None:
    await running(books)
    await append(books.store, 1, b"one", end=True)
    assert not await append(books.store, 2, b"two")
    assert await events(books.store) == [(1, b"one")]


async def test_a_long_answer_is_read_in_bounded_pieces(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "READ_BYTES", 1000)
    await running(books)
    for first in range(1, 201):
        await append(books.store, first, b"x" * 90)
    await append(books.store, 201, b"y" * 5000, end=True)
    read: list[tuple[int, bytes]] = []
    while piece := await events(books.store, read[-1][0] if read else 0):
        assert sum(len(data) for _, data in piece) < 1200 or len(piece) == 1 or piece[-1][0] == 201
        read += piece
    assert [number for number, _ in read] == list(range(1, 202))


async def test_nothing_of_it_can_be_read_in_the_files(books: Books, path: Path) -> None:
    await running(books)
    await waiting(books, "another")
    await append(books.store, 1, b"Canary answer")
    await books.store.close()
    assert all(b"Canary" not in file.read_bytes() for file in path.parent.iterdir())


async def test_a_request_that_was_tampered_with_cannot_be_opened(books: Books, path: Path) -> None:
    await waiting(books)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE stream_tickets SET request = substr(request, 1, 40)")
    with pytest.raises(ClientError) as refused:
        await books.store.tickets.claim("t", "req_1", NOW)
    assert refused.value.code == "ticket_unreadable"
    assert await state(books.store) is TicketState.WAITING


async def test_a_key_has_room_for_a_bounded_number(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 3)
    for n in range(3):
        await waiting(books, f"t{n}")
    with pytest.raises(ClientError) as refused:
        await waiting(books, "one too many")
    assert (refused.value.kind, refused.value.retry_after_s) == (ErrorKind.RATE_LIMITED, OPEN_S / 4)
    await books.store.tickets.claim("t0", "req_1", NOW)
    await waiting(books, "there is room again")
    await waiting(books, "and for all of them", now=NOW + OPEN_S)


async def test_a_key_has_room_for_a_bounded_size(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING_BYTES", 1000)
    await waiting(books, "large ones come alone", request=b"x" * 2000)
    with pytest.raises(ClientError):
        await waiting(books, "small")


async def test_expired_tickets_are_swept_and_remembered_for_a_while(books: Books, path: Path) -> None:
    await waiting(books, "unopened")
    await running(books)
    await append(books.store, 1, b"one", end=True)
    assert not await books.store.tickets.sweep(NOW + REPLAY_S - 1)
    assert await events(books.store) == [(1, b"one")]
    await books.store.tickets.sweep(NOW + REPLAY_S)
    assert count(path, "stream_events") == 0
    assert count(path, "stream_tickets WHERE request IS NOT NULL") == 0
    assert await state(books.store) is TicketState.ENDED
    await books.store.tickets.sweep(NOW + REPLAY_S + REMEMBERED_S)
    assert count(path, "stream_tickets") == 0


async def test_a_sweep_takes_a_bounded_number_at_a_time(
    books: Books, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SWEPT_AT_ONCE", 10)
    await running(books)
    for first in range(1, 26):
        await append(books.store, first, b"x", end=first == 25)
    long_after = NOW + REPLAY_S + REMEMBERED_S
    left = []
    while await books.store.tickets.sweep(long_after):
        left.append(count(path, "stream_events"))
    assert left == [15, 5]
    assert count(path, "stream_tickets") == 0


async def test_running_tickets_are_not_swept(books: Books, path: Path) -> None:
    await running(books)
    await append(books.store, 1, b"x")
    await books.store.tickets.sweep(NOW + 10 * REMEMBERED_S)
    assert (count(path, "stream_tickets"), count(path, "stream_events")) == (1, 1)


async def test_followers_elsewhere_are_noted(books: Books, other: Store) -> None:
    await running(books)
    await other.tickets.note_follower("t", NOW + 7)
    found = await books.store.tickets.find("t", NOW)
    assert found is not None
    assert found.followed_at == NOW + 7


CHILD = """
import asyncio, os, signal, sys
from pathlib import Path
from relayhub.store.store import Store
from relayhub.store.tickets import NewEvents
from relayhub.testing import FakeClock

async def main():
    store = await Store.open(Path(sys.argv[1]), clock=FakeClock())
    assert await store.tickets.claim("t", "req_child", 1000.0)
    await store.tickets.append([NewEvents("t", 1, (b"one", b"two"), "", False)], 1000.0)
    print("claimed", flush=True)
    sys.stdin.readline()
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def test_a_ticket_whose_process_was_killed_is_ended_once_by_whoever_notices(books: Books, path: Path) -> None:
    store = books.store
    await waiting(books)
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, str(path), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    assert await asyncio.wait_for(child.stdout.readline(), 30) == b"claimed\n"
    assert await store.tickets.orphans(NOW) == [], "it lives"
    await asyncio.wait_for(child.communicate(b"\n"), 30)
    (orphan,) = await store.tickets.orphans(NOW)
    assert orphan.orphaned
    await asyncio.gather(*(s.tickets.end_orphan(orphan, b"lost", NOW) for s in [store] * 3))
    assert await events(store) == [(1, b"one"), (2, b"two"), (3, b"lost")]
    assert await state(store) is TicketState.ENDED
    assert await store.tickets.orphans(NOW) == []


async def test_a_process_that_was_taken_for_dead_cannot_go_on(books: Books, other: Store, path: Path) -> None:
    await running(books)
    await append(books.store, 1, b"one")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM epochs")
    (orphan,) = await other.tickets.orphans(NOW)
    await other.tickets.end_orphan(orphan, b"lost", NOW)
    assert not await append(books.store, 2, b"two")
    assert await events(books.store) == [(1, b"one"), (2, b"lost")]


def count(path: Path, what: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {what}").fetchone()[0])

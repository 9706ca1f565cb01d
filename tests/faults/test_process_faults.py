"""The process itself in trouble: full disk, no descriptors, another clock, a database of tomorrow."""

from __future__ import annotations

import asyncio
import json
import resource
import socket
import sqlite3
import time
from collections import Counter
from contextlib import ExitStack, closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from relayhub.testing import Gate
from relayhub.testing.faults import FaultUpstream, answers, does
from tests.faults.asking import CHAT, ask, chat_body, connected, read_all, read_until, request_bytes
from tests.faults.bench import config, provider
from tests.faults.health import watched_health
from tests.faults.ledger import check_balances, check_ledger, new_key
from tests.faults.memory import cpu_s, space_bytes
from tests.support.openai_wire import DONE, chunk, completion
from tests.support.server import Server, cli, environment, running

pytestmark = pytest.mark.timeout(180)

GOOD = answers.whole(completion("m"))

CLOCK = """
import pathlib, time
from relayhub.sdk import hookimpl

_now = time.time
_file = pathlib.Path("clock-offset")
time.time = lambda: _now() + float(_file.read_text() or 0)

@hookimpl
def relayhub_register_providers():
    return []
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


@pytest.mark.fault("P07", "500 clients and 128 descriptors")
def test_without_descriptors_the_server_sheds_and_recovers(home: Path, upstream: FaultUpstream) -> None:
    """It does not spin, keeps answering connections that it has, and takes new ones within 5 s of the clients' leaving."""
    upstream.program("after", GOOD)
    with running(home, config({"up": provider(upstream.url)})) as hub:
        key = new_key(hub, "k")
        _, most = resource.prlimit(hub.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(hub.process.pid, resource.RLIMIT_NOFILE, (128, most))
        with watched_health(hub), ExitStack() as clients:
            time_before, cpu_before = time.monotonic(), cpu_s(hub.process.pid)
            for _ in range(500):
                clients.enter_context(connected(hub.url, timeout_s=5))
            upstream.wait_for(lambda: False, 1.0)
            assert cpu_s(hub.process.pid) - cpu_before < 0.5 * (time.monotonic() - time_before)
        headers = {"authorization": f"Bearer {key}"}
        hub.wait_until(lambda: _status(hub, "after", headers) == 200, within_s=5)
        check_balances(hub)
        check_ledger(hub)


def _status(hub: Server, model: str, headers: dict[str, str], timeout_s: float = 2) -> int:
    try:
        return ask(hub.url, "POST", CHAT, chat_body(model), headers, timeout_s=timeout_s).status
    except OSError:
        return 0


def _alive_s(hub: Server) -> float:
    """How soon it says that it lives: what else the machine does may slow one answer, what it waits for itself slows each."""
    return min(ask(hub.url, "GET", "/livez").took_s for _ in range(3))


ROOM = 64 << 10
"""Bytes that a file of the server may grow by: the database needs more after some calls."""


@pytest.mark.fault("P04", "the disk is full")
def test_a_full_disk_executes_nothing_without_a_hold(home: Path, upstream: FaultUpstream) -> None:
    """503 with Retry-After and nothing sent; what was answered is booked, and it recovers by itself."""
    upstream.program("disk", GOOD)
    with running(home, config({"up": provider(upstream.url)})) as hub:
        headers = {"authorization": f"Bearer {new_key(hub, 'k')}"}
        _, most = resource.prlimit(hub.process.pid, resource.RLIMIT_FSIZE)
        used = max(file.stat().st_size for file in home.glob("hub.db*"))
        resource.prlimit(hub.process.pid, resource.RLIMIT_FSIZE, (used + ROOM, most))
        seen: Counter[int] = Counter()
        while seen[503] < 3 and sum(seen.values()) < 500:
            seen[_status(hub, "disk", headers, timeout_s=20)] += 1  # a hold may just have fitted, and its end waits
        assert set(seen) == {200, 503}
        assert upstream.counters("disk").executions == seen[200]
        resource.prlimit(hub.process.pid, resource.RLIMIT_FSIZE, (most, most))
        hub.wait_until(lambda: _status(hub, "disk", headers) == 200, within_s=10)
        check_balances(hub)
        check_ledger(hub)
        assert hub.rows("SELECT count(*) AS n FROM usage") == [{"n": upstream.counters("disk").executions}]


@pytest.mark.fault("L15", "another process holds the database's lock for 2 s")
def test_a_locked_database_holds_calls_back_and_loses_none(home: Path, upstream: FaultUpstream) -> None:
    """Calls wait for it or are refused; none is executed without a hold, none is lost, others are answered meanwhile."""
    upstream.program("locked", GOOD)
    with running(home, config({"up": provider(upstream.url)})) as hub, ExitStack() as clients:
        headers = {"authorization": f"Bearer {new_key(hub, 'k')}"}
        with closing(sqlite3.connect(home / "hub.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            waiting = [clients.enter_context(connected(hub.url, timeout_s=20)) for _ in range(20)]
            for raw in waiting:
                raw.sendall(request_bytes(CHAT, chat_body("locked"), headers["authorization"].split()[1]))
            assert not upstream.wait_for(lambda: upstream.counters("locked").requests > 0, 2)
            assert _alive_s(hub) < 0.25
            other.execute("ROLLBACK")
        statuses = Counter(int(raw.recv(65536).split()[1]) for raw in waiting)
        assert set(statuses) <= {200, 503}
        assert upstream.counters("locked").executions == statuses[200]
        check_balances(hub)
        check_ledger(hub)


LARGE = answers.whole(completion("large", content="x" * (6 << 20)))
"""Larger than what the system takes for a client that reads nothing (4 MiB at most, unless somebody has set it otherwise)."""

SPACE = 400 << 20
"""Bytes of address space that the server may take beyond what it has: for some of these answers, not for many."""

MOST_CLIENTS = 300
PATIENT = {"connect_s": 5, "first_byte_s": 30, "idle_s": 30, "total_s": 60}


@pytest.mark.fault("P10", "little address space is left (RLIMIT_AS), and clients do not read their large answers")
def test_without_memory_calls_are_refused_before_it_fails(home: Path, upstream: FaultUpstream) -> None:
    """New calls are 503 with Retry-After before an allocation fails, and nothing is sent for them; health is answered; once
    the clients are gone it serves as before."""
    upstream.program("large", LARGE)
    upstream.program("small", GOOD)
    text = config({"up": provider(upstream.url, timeouts=PATIENT)})
    with running(home, text) as hub, watched_health(hub):
        key = new_key(hub, "k")
        headers = {"authorization": f"Bearer {key}"}
        _narrow(hub, SPACE)
        served = 0
        with ExitStack() as clients:
            while (began := _begun(clients, hub, "large", key)) == b"HTTP/1.1 200":
                served += 1
                assert served < MOST_CLIENTS, "it never ran short"
            assert began == b"HTTP/1.1 503"
            refused = ask(hub.url, "POST", CHAT, chat_body("small"), headers)
            assert refused.status == 503
            assert int(refused.headers["retry-after"]) >= 1
            assert upstream.counters("small").requests == 0
        assert served > 5
        assert upstream.counters("large").executions == served
        hub.wait_until(lambda: _status(hub, "small", headers) == 200, within_s=5)
        assert "MemoryError" not in hub.log()
        check_balances(hub)
        check_ledger(hub)
        rows = hub.rows("SELECT count(*) AS n FROM usage WHERE model = 'large' AND cost_nano > 0")
        assert rows == [{"n": served}]


def _narrow(hub: Server, space: int) -> None:
    """The server may have so many bytes of address space more than it has now."""
    _, most = resource.prlimit(hub.process.pid, resource.RLIMIT_AS)
    resource.prlimit(hub.process.pid, resource.RLIMIT_AS, (space_bytes(hub.process.pid) + space, most))


def _begun(clients: ExitStack, hub: Server, model: str, key: str) -> bytes:
    """The status line of an answer of which no more is read."""
    raw = clients.enter_context(connected(hub.url, receive_buffer=64 << 10, timeout_s=30))
    raw.sendall(request_bytes(CHAT, chat_body(model), key))
    return raw.recv(12, socket.MSG_WAITALL)


BURST = 100
BURST_SPACE = 300 << 20
WHOLE = 8 << 20
BURST_S = 120.0
"""A busy machine may need so long."""


@pytest.mark.fault("P10", "100 calls at once with answers of 8 MB, where 300 MB of address space are left (RLIMIT_AS)")
@pytest.mark.parametrize(
    ("model", "reads", "lines"),
    [("read", True, ()), ("unread", False, ()), ("unread-and-closed", False, ("connection: close",))],
)
def test_a_burst_of_large_answers_is_taken_as_memory_allows(
    home: Path, upstream: FaultUpstream, model: str, reads: bool, lines: tuple[str, ...]
) -> None:
    """The process lives, and no allocation fails; whoever is answered has all of it, or 503; health is answered, and the
    books say who was served."""
    upstream.program(model, answers.whole(completion(model, content="x" * WHOLE)))
    with running(home, config({"up": provider(upstream.url, timeouts=PATIENT)})) as hub, watched_health(hub):
        statuses = _survives_burst(hub, upstream, model, chat_body(model), *lines, reads=reads)
    assert reads or statuses[503] > 0


@pytest.mark.fault("P10", "100 calls at once with requests of 8 MB, where 300 MB of address space are left (RLIMIT_AS)")
def test_a_burst_of_large_requests_is_taken_as_memory_allows(home: Path, upstream: FaultUpstream) -> None:
    """The process lives, and no allocation fails; what there is no memory for is 503 before it is read."""
    upstream.program("asked", GOOD)
    words = [{"role": "user", "content": "x" * WHOLE}]
    with running(home, config({"up": provider(upstream.url, timeouts=PATIENT)})) as hub:
        statuses = _survives_burst(hub, upstream, "asked", chat_body("asked", messages=words), reads=True)
    assert statuses[503] > 0
    assert upstream.counters("asked").executions == statuses[200]


def _survives_burst(
    hub: Server, upstream: FaultUpstream, model: str, body: bytes, *lines: str, reads: bool
) -> Counter[int]:
    upstream.program("after", GOOD)
    key = new_key(hub, "k")
    _narrow(hub, BURST_SPACE)
    statuses = asyncio.run(_burst(hub, request_bytes(CHAT, body, key, *lines), reads=reads))
    assert set(statuses) <= {200, 503}
    assert statuses[200] > 3
    assert sum(statuses.values()) == BURST
    hub.wait_until(lambda: _status(hub, "after", {"authorization": f"Bearer {key}"}) == 200, within_s=5)
    assert "MemoryError" not in hub.log()
    check_balances(hub)
    check_ledger(hub)
    found = "SELECT outcome, count(*) AS n, min(cost_nano) > 0 AS paid FROM usage WHERE model = ? GROUP BY outcome"
    rows = {str(row["outcome"]): (row["n"], row["paid"]) for row in hub.rows(found, model)}
    refused = upstream.counters(model).executions - statuses[200]
    expected = {"completed": (statuses[200], 1), "hub_error": (refused, 0)}
    assert rows == {outcome: told for outcome, told in expected.items() if told[0]}
    return statuses


async def _burst(hub: Server, request: bytes, *, reads: bool) -> Counter[int]:
    """All of them at once. ``reads``: from the start; else once all have been told what becomes of them."""
    told: Counter[int] = Counter()
    all_told = asyncio.Event()
    address = urlsplit(hub.url)

    async def client() -> None:
        reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=64 << 10)
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        told[int(head.split()[1])] += 1
        if sum(told.values()) == BURST:
            all_told.set()
        if not reads:
            await all_told.wait()
        size = int(head.lower().partition(b"content-length: ")[2].split()[0])
        while size:
            data = await reader.read(size)
            assert data, "the answer broke off"
            size -= len(data)
        writer.close()

    async with asyncio.timeout(BURST_S), asyncio.TaskGroup() as clients:
        for _ in range(BURST):
            clients.create_task(client())
    return told


HEALTH_KNOWS_S = 2.0


@pytest.mark.fault("L15", "another process holds the database's lock for 6 s, while streams are under way")
def test_settlements_outlive_a_locked_database(home: Path, upstream: FaultUpstream) -> None:
    """`/api/health` says within 2 s that the database fails; nothing is sent for new calls; the streams end when they can be
    booked, each of them is, and health is well again."""
    streams = 5
    gate = Gate()
    event, end = chunk("held", content="word"), [chunk("held", finish="stop"), DONE]
    upstream.program("held", does(answers.streamed(event, end=False), gate, answers.chunks(*end) + answers.LAST_CHUNK))
    upstream.program("new", GOOD)
    with running(home, config({"up": provider(upstream.url, timeouts=PATIENT)})) as hub, ExitStack() as clients:
        key = new_key(hub, "k")
        open_streams = [clients.enter_context(connected(hub.url, timeout_s=30)) for _ in range(streams)]
        for raw in open_streams:
            raw.sendall(request_bytes(CHAT, chat_body("held", stream=True), key, "connection: close"))
            read_until(raw, event)
        with closing(sqlite3.connect(home / "hub.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            locked = time.monotonic()
            hub.wait_until(lambda: _health(hub) == (503, "fail"), within_s=HEALTH_KNOWS_S + 1)
            waiting = clients.enter_context(connected(hub.url, timeout_s=30))
            waiting.sendall(request_bytes(CHAT, chat_body("new"), key))
            upstream.open(gate)
            assert _alive_s(hub) < 0.25
            assert not upstream.wait_for(lambda: upstream.counters("new").requests > 0, locked + 6 - time.monotonic())
            other.execute("ROLLBACK")
        assert all(DONE in read_all(raw) for raw in open_streams)
        status = int(waiting.recv(65536).split()[1])
        assert status in (200, 503)
        hub.wait_until(lambda: _health(hub) == (200, "ok"), within_s=5)
        check_balances(hub)
        check_ledger(hub)
        rows = hub.rows("SELECT count(*) AS n FROM usage WHERE model = 'held' AND outcome = 'completed'")
        assert rows == [{"n": streams}]
        assert upstream.counters("new").executions == (status == 200)


def _health(hub: Server) -> tuple[int, str]:
    answer = ask(hub.url, "GET", "/api/health")
    return answer.status, json.loads(answer.body)["checks"]["db"]


@pytest.mark.fault("P06", "the wall clock jumps while a key is at its limit of calls in a minute")
def test_a_jump_of_the_clock_leaves_no_limit_stuck(home: Path, upstream: FaultUpstream) -> None:
    """After a jump forward another minute has begun; after a jump back by hours what was used still counts, and no call has
    to wait for longer than a minute."""
    (home / "plugins").mkdir()
    (home / "plugins" / "clock.py").write_text(CLOCK)
    (home / "clock-offset").write_text("0")
    upstream.program("limited", GOOD)
    text = config({"up": provider(upstream.url)}, plugins={"dirs": ["plugins"]})
    with running(home, text) as hub, ExitStack() as clients:
        headers = {"authorization": f"Bearer {hub.new_key('k', '--rpm', '3')}"}
        clients.enter_context(watched_health(hub))
        executed: list[int] = []
        early = 10 - time.time() % 60  # of a minute, so that none ends while five calls are made
        for offset in (0, 7200, -7200, 0):
            (home / "clock-offset").write_text(str(early + offset))
            answered = [ask(hub.url, "POST", CHAT, chat_body("limited"), headers) for _ in range(5)]
            executed.append([answer.status for answer in answered].count(200))
            waits = [int(answer.headers["retry-after"]) for answer in answered if answer.status == 429]
            assert all(0 < wait_s <= 60 for wait_s in waits), (offset, waits)
        assert executed == [3, 3, 0, 3]
        assert upstream.counters("limited").executions == sum(executed)
        check_balances(hub)


@pytest.mark.fault("C19", "a request with an Idempotency-Key is sent again after the server was restarted, or killed")
@pytest.mark.parametrize("ends", ["terminated", "killed"])
def test_a_named_request_is_answered_once_over_restarts(home: Path, upstream: FaultUpstream, ends: str) -> None:
    """The stored answer, byte for byte, with the id of the first request; executed once, charged once. Another body under the
    same name is 422."""
    model = f"named-{ends}"
    upstream.program(model, GOOD)
    text = config({"up": provider(upstream.url)})
    with running(home, text) as hub:
        key = new_key(hub, "k")
        named = {"authorization": f"Bearer {key}", "idempotency-key": "once"}
        first = ask(hub.url, "POST", CHAT, chat_body(model), named)
        assert first.status == 200
        hub.wait_until(lambda: hub.rows("SELECT count(*) AS n FROM usage") == [{"n": 1}], within_s=5)
        if ends == "killed":
            hub.kill()
    with running(home, text) as hub, watched_health(hub):
        again = ask(hub.url, "POST", CHAT, chat_body(model), named)
        other = ask(hub.url, "POST", CHAT, chat_body(model, temperature=1), named)
        assert (again.status, again.body) == (200, first.body)
        assert again.headers["x-relayhub-first-request"] == first.headers["x-request-id"]
        assert other.status == 422
        assert upstream.counters(model).executions == 1
        check_balances(hub)
        check_ledger(hub)
        assert hub.rows("SELECT count(*) AS n FROM usage") == [{"n": 1}]


@pytest.mark.fault("P06", "the wall clock jumps by an hour, by a day, to 2038 and back")
def test_the_wall_clock_decides_nothing_that_waits(home: Path, upstream: FaultUpstream) -> None:
    """Calls are answered before and after each jump, with the same deadlines; the books are exact."""
    (home / "plugins").mkdir()
    (home / "plugins" / "clock.py").write_text(CLOCK)
    (home / "clock-offset").write_text("0")
    upstream.program("clock", GOOD)
    with running(home, config({"up": provider(upstream.url)}, plugins={"dirs": ["plugins"]})) as hub:
        headers = {"authorization": f"Bearer {hub.new_key('k')}"}
        with watched_health(hub):
            for offset in (3600, -3600, 86400, 2**31 - time.time() + 60, 0):
                (home / "clock-offset").write_text(str(offset))
                assert _status(hub, "clock", headers) == 200
        assert max(float(str(row["at"])) for row in hub.rows("SELECT at FROM usage")) > 2**31
        check_balances(hub)
        assert hub.cli_json("ledger", "check") == {
            "exact": True,
            "violations": [],
        }  # a process of its own: the plugin stays


@pytest.mark.fault("P09", "the database was written by a newer release")
def test_an_older_program_refuses_a_newer_database(home: Path) -> None:
    """It does not start: one clear line that says what to do; the file is unchanged."""
    (home / "relayhub.yaml").write_text(config({}))
    env = environment(home)
    cli(home, "keys", "create", "k", env=env)
    with closing(sqlite3.connect(home / "hub.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    said = cli(home, "serve", "--port", "0", env=env, check=False).strip()
    assert "newer relayhub" in said
    assert "Traceback" not in said
    assert len(said.splitlines()) == 1


@pytest.mark.fault("L2", "kill -9 in the middle of calls, again and again")
def test_kills_under_load_lose_nothing(home: Path, upstream: FaultUpstream) -> None:
    """After each start the books are exact and no hold is left; what a client was answered is charged."""
    upstream.program("killed", GOOD)
    text = config({"up": provider(upstream.url)})
    (home / "relayhub.yaml").write_text(text)
    key = json.loads(cli(home, "keys", "create", "k", "--json", env=environment(home)))["key"]
    answered = 0
    for _ in range(2):
        with running(home, text) as hub:
            before = upstream.counters("killed").requests
            answered += asyncio.run(_load_until_killed(hub, key, upstream, before + 40))
    with running(home, text) as hub:
        check_balances(hub)
        check_ledger(hub)
        completed = hub.rows("SELECT count(*) AS n FROM usage WHERE outcome = 'completed'")[0]["n"]
        assert answered <= int(str(completed)) <= upstream.counters("killed").executions


async def _load_until_killed(hub: Server, key: str, upstream: FaultUpstream, requests: int) -> int:
    """Answers that clients had before the server was killed."""
    done = 0

    async def client() -> None:
        nonlocal done
        while True:
            try:
                answer = await asyncio.to_thread(
                    ask, hub.url, "POST", CHAT, chat_body("killed"), {"authorization": f"Bearer {key}"}, 5
                )
            except (OSError, ValueError, EOFError):
                return
            except Exception as error:
                if type(error).__module__ == "http.client":
                    return
                raise
            done += answer.status == 200

    async def killer() -> None:
        assert await asyncio.to_thread(upstream.wait_for, lambda: upstream.counters("killed").requests >= requests, 30)
        hub.kill()

    await asyncio.gather(killer(), *(client() for _ in range(8)))
    return done

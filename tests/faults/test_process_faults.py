"""The process itself in trouble: full disk, no descriptors, another clock, a plugin that fails, a database of tomorrow."""

from __future__ import annotations

import asyncio
import json
import resource
import sqlite3
import time
from collections import Counter
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from relayhub.testing.faults import FaultUpstream, answers
from tests.faults.asking import CHAT, ask, chat_body, connected, request_bytes
from tests.faults.bench import Bench, config, provider
from tests.faults.health import watched_health
from tests.faults.ledger import check_balances, check_ledger, new_key
from tests.faults.memory import cpu_s
from tests.support.openai_wire import completion
from tests.support.server import Server, cli, environment, running

GOOD = answers.whole(completion("m"))

PLUGIN = """
import asyncio
from pydantic import BaseModel
from relayhub.sdk import ProviderType, hookimpl

FAILURES = {
    "exception": RuntimeError, "exit": SystemExit, "cancelled": asyncio.CancelledError, "recursion": RecursionError,
    "memory": MemoryError, "stop": StopIteration, "generator": GeneratorExit, "assertion": AssertionError,
}

class Settings(BaseModel):
    pass

class Wire:
    def request(self, model, request):
        raise FAILURES[model.removeprefix("raises-")]("on purpose")
    def reader(self):
        raise NotImplementedError
    def error(self, reply):
        raise NotImplementedError

class Provider:
    def chat(self):
        return Wire()

@hookimpl
def relayhub_register_providers():
    return [ProviderType(name="failing", settings=Settings, build=lambda settings, context: Provider(), summary="fails")]
"""

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


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "failing.py").write_text(PLUGIN)
    return folder


@pytest.fixture(scope="module")
def hub_config(upstream: FaultUpstream, plugins: Path) -> str:
    failing = {"type": "failing", "models": {"raises-*": {"price": {"call": "0.01"}}}}
    return config({"up": provider(upstream.url), "failing": failing}, plugins={"dirs": [str(plugins)]})


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


RAISED = ["exception", "exit", "recursion", "memory", "stop", "assertion"]


@pytest.mark.fault("P14", "a plugin raises SystemExit, MemoryError, RecursionError or anything else")
@pytest.mark.parametrize("what", RAISED)
def test_what_a_plugin_raises_is_its_own_failure(bench: Bench, what: str) -> None:
    """502 for that call, charge 0; the process lives and serves others."""
    for _ in range(6):
        bench.fails_free(f"raises-{what}", 502)
    bench.upstream.program("others", GOOD)
    assert bench.chat("others").status == 200


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


def _status(hub: Server, model: str, headers: dict[str, str]) -> int:
    try:
        return ask(hub.url, "POST", CHAT, chat_body(model), headers, timeout_s=2).status
    except OSError:
        return 0


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
            seen[_status(hub, "disk", headers)] += 1
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
            assert ask(hub.url, "GET", "/livez").took_s < 0.25
            other.execute("ROLLBACK")
        statuses = Counter(int(raw.recv(65536).split()[1]) for raw in waiting)
        assert set(statuses) <= {200, 503}
        assert upstream.counters("locked").executions == statuses[200]
        check_balances(hub)
        check_ledger(hub)


@pytest.mark.fault("P06", "the wall clock jumps by an hour, by a day, to 2038 and back")
def test_the_wall_clock_decides_nothing_that_waits(home: Path, upstream: FaultUpstream, plugins: Path) -> None:
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
        assert await asyncio.to_thread(upstream.wait_for, lambda: upstream.counters("killed").requests >= requests, 10)
        hub.kill()

    await asyncio.gather(killer(), *(client() for _ in range(8)))
    return done

"""Several workers on one address: what is promised of one process holds for all of them together."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server import cli, environment, running
from tests.support.workers import Workers, call, client_of, config, is_alive, signals_wait, stream, streams, workers

PRICE_UNITS = 5_000
"""What a call costs: 0.01 USD at 500 000 units to the dollar."""

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    keys = {"quota": ("--quota", str(70 * PRICE_UNITS)), "rpm": ("--rpm", "20"), "slots": ("--concurrent", "6")}
    with workers(tmp_path_factory.mktemp("limited"), config(pace_s=0.5), keys=keys) as hub:
        yield hub


async def test_200_calls_at_once_on_a_key_for_70_spend_exactly_70(limited: Workers) -> None:
    async with client_of(limited, "quota") as client:
        outcomes = Counter(await asyncio.gather(*(call(client) for _ in range(200))))
    assert outcomes == {"ok": 70, "402 insufficient_quota": 130}
    await limited.comes_about(lambda: limited.held() == 0)
    used = limited.server.rows("SELECT used_nano FROM keys WHERE name = 'quota'")
    assert used == [{"used_nano": 70 * 10_000_000}]
    limited.check_books()
    assert set(limited.served()) == {1, 2}, "both had calls"


async def test_a_limit_of_requests_per_minute_is_that_of_all_workers_together(limited: Workers) -> None:
    began = time.time()
    async with client_of(limited, "rpm") as client:
        outcomes = Counter(await asyncio.gather(*(call(client) for _ in range(80))))
    assert outcomes.keys() == {"ok", "429 requests_per_minute_exceeded"}
    minutes = 1 + int(time.time() // 60) - int(began // 60)
    assert 20 <= outcomes["ok"] <= 20 * minutes
    counted = limited.server.rows("SELECT amount FROM key_windows WHERE window = 'requests'")
    assert counted == [{"amount": 20}], "the last minute is full, and no fuller"


async def test_a_limit_of_calls_at_a_time_is_that_of_all_workers_together(limited: Workers) -> None:
    async with client_of(limited, "slots") as client:
        begun = asyncio.Semaphore(0)
        outcomes = Counter(await asyncio.gather(*(stream(client, begun) for _ in range(60))))
        assert outcomes == {"stop": 6, "429 concurrent_calls_exceeded": 54}
        again = await asyncio.gather(*(stream(client, begun) for _ in range(6)))
        assert again == ["stop"] * 6, "every slot came back"


async def test_a_key_that_is_revoked_is_cut_off_at_every_worker(home: Path) -> None:
    text = config(pace_s=30) + "quota: {revoked_streams: cut}\n"
    with workers(home, text) as hub:
        async with client_of(hub) as client:
            tasks = await streams(client, 20)
            await asyncio.to_thread(hub.server.cli, "keys", "revoke", "k")
            async with asyncio.timeout(5):
                assert set(await asyncio.gather(*tasks)) == {"key_revoked"}
        assert set(hub.served()) == {1, 2}


async def test_killing_one_worker_costs_its_own_calls_only(home: Path) -> None:
    with workers(home, config(pace_s=0.3)) as hub:
        async with client_of(hub) as client:
            tasks = await streams(client, 30)
            killed = hub.pids()[1]
            os.kill(killed, signal.SIGKILL)
            await hub.comes_about(lambda: not is_alive(killed))
            assert await call(client) == "ok", "the other one serves meanwhile"
            ended = Counter(await asyncio.gather(*tasks))
            lost = sum(count for outcome, count in ended.items() if outcome.startswith("lost"))
            assert ended["stop"] + lost == 30
            assert lost > 0
            await hub.comes_about(lambda: hub.replaced(1, killed))
            await hub.comes_about(lambda: hub.held() == 0)
            assert hub.outcomes() == {"completed": ended["stop"] + 1, "lost": lost}
            assert [await call(client) for _ in range(20)] == ["ok"] * 20
        hub.check_books()
        ended_event = hub.events("worker.ended")[0]
        assert (ended_event["worker"], ended_event["signal"]) == (1, "SIGKILL")
        hub.server.terminate()
        assert hub.server.wait() == 0


async def test_a_worker_that_is_told_to_end_drains_and_is_replaced(home: Path) -> None:
    with workers(home, config(pace_s=0.2)) as hub:
        async with client_of(hub) as client:
            tasks = await streams(client, 20)
            ended = hub.pids()[2]
            os.kill(ended, signal.SIGTERM)
            assert await asyncio.gather(*tasks) == ["stop"] * 20
            await hub.comes_about(lambda: hub.replaced(2, ended))
        assert hub.outcomes() == {"completed": 20}


async def test_open_streams_end_normally_when_the_supervisor_is_told_to_end(home: Path) -> None:
    with workers(home, config(pace_s=0.1)) as hub:
        async with client_of(hub) as client:
            tasks = await streams(client, 40)
            begun = hub.pids()
            hub.server.terminate()
            assert await asyncio.gather(*tasks) == ["stop"] * 40
            assert await asyncio.to_thread(hub.server.wait) == 0
        assert not any(map(is_alive, begun.values()))
        assert hub.outcomes() == {"completed": 40}
        assert hub.held() == 0
        assert hub.server.log().count("Stopping") == 1


async def test_a_second_signal_ends_all_workers_at_once(home: Path) -> None:
    with workers(home, config(drain_s=60, pace_s=30)) as hub:
        async with client_of(hub) as client:
            tasks = await streams(client, 12)
            hub.server.terminate()
            await hub.comes_about(lambda: "Stopping" in hub.server.log())
            hub.server.process.send_signal(signal.SIGINT)
            assert await asyncio.gather(*tasks) == ["shutting_down"] * 12
            assert await asyncio.to_thread(hub.server.wait) == 0
        assert hub.held() == 0


async def test_a_stopped_worker_does_not_hold_up_the_end(home: Path) -> None:
    """It cannot hear anything; the third signal is for that."""
    with workers(home) as hub:
        stopped = hub.pids()[1]
        os.kill(stopped, signal.SIGSTOP)
        hub.server.terminate()
        await hub.comes_about(lambda: set(hub.pids()) == {1})
        for _ in range(2):
            hub.server.terminate()
            await hub.comes_about(lambda: not signals_wait(hub.server.process.pid))
        assert await asyncio.to_thread(hub.server.wait) == 1
        assert not is_alive(stopped)


async def test_workers_whose_supervisor_was_killed_drain_and_end(home: Path) -> None:
    with workers(home, config(pace_s=0.15)) as hub:
        async with client_of(hub) as client:
            tasks = await streams(client, 20)
            begun = hub.pids()
            hub.server.kill()
            assert await asyncio.gather(*tasks) == ["stop"] * 20
        await hub.comes_about(lambda: not any(map(is_alive, begun.values())))
        assert len(hub.events("worker.abandoned")) == 2
        assert hub.held() == 0


def test_one_process_migrates_and_says_where_it_listens(home: Path) -> None:
    with running(home, config(), options=("--workers", "3")) as server:
        hub = Workers(server, {})
        assert [event.get("worker") for event in hub.events("store.migrated")] == [None]
        assert len(hub.pids()) == 3
        assert [line.startswith("relayhub listens on http://127.0.0.1:") for line in hub.server.greeting].count(
            True
        ) == 1
        assert sum("token setup_" in line for line in hub.server.greeting) == 1


def test_a_second_hub_does_not_take_the_port(home: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    (other / "relayhub.yaml").write_text(config())
    with workers(home) as hub:
        port = hub.server.url.rpartition(":")[2]
        for count in ("1", "2"):
            said = cli(other, "serve", "--port", port, "--workers", count, env=environment(other), check=False)
            assert f"cannot listen on 127.0.0.1:{port}" in said


def test_a_unix_socket_is_shared_too(home: Path) -> None:
    door = home / "hub.sock"
    text = config().replace("server: {", "server: {unix_socket: hub.sock, ")
    with workers(home, text) as hub:
        assert hub.server.url == f"unix:{door}"
        first = hub.pids()[1]
        os.kill(first, signal.SIGKILL)
        assert [_ready(door) for _ in range(20)] == [200] * 20
        hub.server.wait_until(lambda: hub.replaced(1, first), within_s=15)
        assert [_ready(door) for _ in range(20)] == [200] * 20
    assert not door.exists()


def _ready(door: Path) -> int:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(door))
        connection.sendall(b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        return int(connection.recv(64).split()[1])


async def test_the_places_at_a_provider_are_shared(home: Path) -> None:
    text = config(pace_s=30).replace("    slow_first", "    max_in_flight: 5\n    slow_first")
    with workers(home, text) as hub:
        async with client_of(hub) as others:
            async with client_of(hub) as client:
                tasks = await streams(client, 5)
                more = Counter(await asyncio.gather(*(call(others) for _ in range(30))))
                assert more == {"503 provider_busy": 30}, "whichever worker is asked"
            await asyncio.gather(*tasks)  # their connections are closed
            await hub.comes_about(lambda: hub.held() == 0)
            assert await call(others) == "ok"


async def test_the_places_of_a_dead_worker_are_free_again(home: Path) -> None:
    text = config(pace_s=30).replace("    slow_first", "    max_in_flight: 5\n    slow_first")
    with workers(home, text) as hub:
        async with client_of(hub) as client:
            tasks = await streams(client, 5)
            for pid in hub.pids().values():
                os.kill(pid, signal.SIGKILL)
            await asyncio.gather(*tasks)
            await hub.comes_about(lambda: len(hub.pids()) == 2)
        async with client_of(hub) as client:
            assert [await call(client) for _ in range(10)] == ["ok"] * 10

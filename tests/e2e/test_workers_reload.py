"""Reloading several workers: one after another, without a cut; and what a worker that is replaced begins with."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from relayhub.running.control import ask
from tests.support.workers import Workers, call, client_of, config, streams, workers

NEW_MODEL = '      demo-new: {upstream: demo-chat, price: {call: "0.01"}}\n'

pytestmark = pytest.mark.timeout(120)


def rewrite(hub: Workers, text: str) -> None:
    (hub.server.home / "relayhub.yaml").write_text(text)


async def status(hub: Workers) -> dict[str, Any]:
    return dict(await ask(hub.server.home / "hub.db.control", "status"))


async def kill(hub: Workers, number: int) -> None:
    """With SIGKILL; until another one has its place."""
    killed = hub.pids()[number]
    os.kill(killed, signal.SIGKILL)
    await hub.comes_about(lambda: hub.replaced(number, killed))


async def test_no_stream_is_cut_by_a_reload_of_all_workers(home: Path) -> None:
    with workers(home, config(pace_s=0.5)) as hub:
        async with client_of(hub) as client:
            tasks = await streams(client, 50)
            rewrite(hub, config(pace_s=0.5) + NEW_MODEL)
            said = await ask(home / "hub.db.control", "reload")
            assert (said["ok"], "demo-new" in str(said["changes"])) == (True, True)
            assert not any(task.done() for task in tasks), "they were under way meanwhile"
            assert await asyncio.gather(*tasks) == ["stop"] * 50
            assert await asyncio.gather(*(call(client, "demo-new") for _ in range(30))) == ["ok"] * 30
        assert {event["worker"] for event in hub.events("config.reloaded")} == {1, 2}
        assert (await status(hub))["reloads"] == 1
        assert hub.held() == 0


async def test_a_config_that_is_wrong_reaches_no_worker(home: Path) -> None:
    with workers(home) as hub:
        rewrite(hub, config().replace("demo-chat", "demo-none:").replace("price", "prize"))
        said = await asyncio.to_thread(hub.server.cli, "reload", check=False)
        assert "Nothing was changed" in said
        assert [event.get("worker") for event in hub.events("config.refused")] == [None]
        assert (await status(hub))["reloads"] == 0


async def test_sighup_reloads_all_workers(home: Path) -> None:
    with workers(home) as hub:
        rewrite(hub, config() + NEW_MODEL)
        hub.server.process.send_signal(signal.SIGHUP)
        await hub.comes_about(lambda: len(hub.events("config.reloaded")) == 2)


async def test_a_worker_that_is_replaced_serves_with_the_config_in_force(home: Path) -> None:
    with workers(home) as hub:
        rewrite(hub, config() + NEW_MODEL)
        await asyncio.to_thread(hub.server.cli, "reload")
        rewrite(hub, "this: is being [edited")
        await kill(hub, 1)
        await kill(hub, 2)
        async with client_of(hub) as client:
            assert await asyncio.gather(*(call(client, "demo-new") for _ in range(20))) == ["ok"] * 20


async def test_what_waits_for_a_restart_waits_in_a_worker_that_is_replaced_too(home: Path) -> None:
    with workers(home) as hub:
        rewrite(hub, config().replace("hub.db", "other.db"))
        assert "needs a restart" in await asyncio.to_thread(hub.server.cli, "reload", "--control", "hub.db.control")
        await kill(hub, 1)
        async with client_of(hub) as client:
            assert await asyncio.gather(*(call(client) for _ in range(20))) == ["ok"] * 20
        assert not (home / "other.db").exists()


async def test_the_control_socket_speaks_for_all_workers(home: Path) -> None:
    with workers(home, config(pace_s=0.3)) as hub:
        async with client_of(hub) as client:
            tasks = await streams(client, 10)
            said = await status(hub)
            assert said["open_calls"] == 10
            assert said["pid"] == hub.server.process.pid
            assert [(one["worker"], one["pid"], one["state"]) for one in said["workers"]] == [
                (number, pid, "serving") for number, pid in sorted(hub.pids().items())
            ]
            assert sum(one["open_calls"] for one in said["workers"]) == 10
            assert (await ask(home / "hub.db.control", "drain"))["ok"]
            assert await asyncio.gather(*tasks) == ["stop"] * 10
            assert await asyncio.to_thread(hub.server.wait) == 0

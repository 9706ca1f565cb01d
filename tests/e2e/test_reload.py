"""Reloading while the hub serves: nothing open is cut, a bad config changes nothing, and nothing is left behind."""

from __future__ import annotations

import asyncio
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from relayhub.running.control import ask as ask_hub
from relayhub.types.json import JsonObject
from tests.e2e.test_serving import tls_files
from tests.support.gated_upstream import GatedUpstream, ask, open_streams
from tests.support.server import Server, running

STREAMS = 200
RELOADS = 20
PRICE = '{input: "1000", output: "1000"}'
TWICE = '{input: "2000", output: "2000"}'

CONFIG = """
store: {{path: hub.db}}
logging: {{format: json}}
{more}
providers:
  spare: {{type: demo, models: {{demo-chat: {{free: true}}}}}}
  {name}:
    type: openai
    base_url: {url}/v1
    api_key: {key}
    max_connections: {connections}
    models: {{m: {{price: {price}}}}}
"""


def config(
    url: str, *, key: str = "sk-0000", connections: int = 1000, price: str = PRICE, more: str = "", name: str = "up"
) -> str:
    return CONFIG.format(url=url, name=name, key=key, connections=connections, price=price, more=more)


@pytest.fixture
def upstream() -> Iterator[GatedUpstream]:
    upstream = GatedUpstream()
    with upstream.in_thread():
        yield upstream


@pytest.fixture
def hub(home: Path, upstream: GatedUpstream) -> Iterator[Server]:
    with running(home, config(upstream.url)) as server:
        yield server


def write(server: Server, text: str) -> None:
    (server.home / "relayhub.yaml").write_text(text)


async def told(server: Server, verb: str) -> JsonObject:
    return await ask_hub(server.home / "hub.db.control", verb)


def reload(server: Server, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "relayhub", "reload", *options],
        cwd=server.home,
        env=server.env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def descriptors(server: Server) -> int:
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


async def test_twenty_reloads_drop_none_of_200_open_streams_and_leave_nothing_behind(
    hub: Server, upstream: GatedUpstream
) -> None:
    key = await asyncio.to_thread(hub.new_key, "k")
    assert (await ask(hub.url, key))[0] == 200
    idle_descriptors, idle_tasks = descriptors(hub), (await told(hub, "status"))["tasks"]
    async with open_streams(hub.url, key, STREAMS) as streams:
        for number in range(RELOADS):
            valid = number % 4 != 3  # five of twenty are not
            # Every valid one makes another provider and another price, and every other one another way to its upstream.
            text = config(upstream.url, key=f"sk-{number:04}", connections=1000 + number // 2, price=TWICE)
            write(hub, text if valid else text.replace("base_url", "base_ulr"))
            answer = await told(hub, "reload")
            assert answer["ok"] is valid, answer
            assert (await ask(hub.url, key))[0] == 200
            last_valid = number if valid else number - 1
            assert upstream.keys()[-1] == f"sk-{last_valid:04}"
        assert streams.still_open() == STREAMS
        upstream.open(upstream.gate)
        texts = await streams.ended(60)
    assert {text.count(b"data: [DONE]\n\n") for text in texts} == {1}
    assert all(text.rstrip().endswith(b"data: [DONE]") and b" there." in text for text in texts)

    status = await told(hub, "status")
    assert status["reloads"] == RELOADS - RELOADS // 4
    streamed = hub.rows(
        "SELECT provider, outcome, cost_nano, count(*) AS n FROM usage WHERE stream GROUP BY provider, outcome, cost_nano"
    )
    assert streamed == [{"provider": "up", "outcome": "completed", "cost_nano": 15_000_000, "n": STREAMS}]
    whole = hub.rows("SELECT cost_nano, count(*) AS n FROM usage WHERE NOT stream GROUP BY cost_nano ORDER BY 1")
    assert whole == [{"cost_nano": 15_000_000, "n": 1}, {"cost_nano": 30_000_000, "n": RELOADS}]
    assert upstream.counters.executions == STREAMS + RELOADS + 1
    assert hub.rows("SELECT count(*) AS n FROM holds") == [{"n": 0}]
    write(hub, config(upstream.url))
    await asyncio.to_thread(hub.cli, "ledger", "check")
    # The streams were on connections of providers that were replaced: sooner closed than those that are kept would be.
    await asyncio.to_thread(hub.wait_until, lambda: descriptors(hub) <= idle_descriptors + 2, within_s=10)
    left = (await told(hub, "status"))["tasks"]
    assert isinstance(left, int)
    assert isinstance(idle_tasks, int)
    assert left <= idle_tasks + 1


async def test_a_hundred_reloads_between_calls_fail_none_of_them(hub: Server, upstream: GatedUpstream) -> None:
    key = await asyncio.to_thread(hub.new_key, "k")
    over, served = asyncio.Event(), asyncio.Semaphore(0)

    async def calling() -> list[int]:
        statuses = []
        while not over.is_set():
            statuses.append((await ask(hub.url, key))[0])
            served.release()
        return statuses

    callers = [asyncio.create_task(calling()) for _ in range(4)]
    try:
        for number in range(100):
            text = config(upstream.url, key=f"sk-{number}", connections=1000 + number)
            write(hub, text if number % 2 else text.replace("api_key", "api_kee"))
            assert (await told(hub, "reload"))["ok"] is bool(number % 2)
            await served.acquire()
    finally:
        over.set()
    statuses = [status for statuses in await asyncio.gather(*callers) for status in statuses]
    assert len(statuses) >= 100
    assert set(statuses) == {200}
    assert (await told(hub, "status"))["reloads"] == 50
    assert upstream.counters.executions == len(statuses)
    write(hub, config(upstream.url))
    await asyncio.to_thread(hub.cli, "ledger", "check")


async def test_a_provider_that_is_removed_in_mid_stream_ends_its_stream_normally(
    hub: Server, upstream: GatedUpstream
) -> None:
    key = await asyncio.to_thread(hub.new_key, "k")
    before = descriptors(hub)
    async with open_streams(hub.url, key, 1) as streams:
        text = (hub.home / "relayhub.yaml").read_text()
        write(hub, text[: text.index("  up:")])
        assert (await told(hub, "reload"))["ok"]
        assert (await told(hub, "status"))["providers"] == ["spare"]
        status, body = await ask(hub.url, key)
        assert (status, body["error"]["code"]) == (404, "model_not_found")  # type: ignore[index]
        upstream.open(upstream.gate)
        (text_sent,) = await streams.ended(10)
    assert text_sent.endswith(b"data: [DONE]\n\n")
    assert hub.rows("SELECT provider, outcome, cost_nano FROM usage") == [
        {"provider": "up", "outcome": "completed", "cost_nano": 15_000_000}
    ]
    # Sooner than an idle connection would be closed: nobody can use it again.
    await asyncio.to_thread(hub.wait_until, lambda: descriptors(hub) <= before, within_s=10)


def test_the_command_shows_what_has_changed_and_what_waits_for_a_restart(hub: Server, upstream: GatedUpstream) -> None:
    assert reload(hub).stdout == "Reloaded: nothing has changed.\n"
    text = config(upstream.url, key="sk-1111", more="server: {drain_s: 5, base_path: /ai}")
    write(hub, text.replace("spare:", "other:"))
    done = reload(hub)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[:4] == [
        "~ server.drain_s: 60.0 → 5.0",
        '+ providers.other: {"type":"demo","models":["demo-chat"]}',
        "~ providers.up.api_key: (changed, and secret)",
        '- providers.spare: {"type":"demo","models":["demo-chat"]}',
    ]
    assert lines[4:] == [
        '! server.base_path: "" → "/ai" (needs a restart)',
        "Reloaded: 4 changes in force. 1 change waiting for a restart.",
    ]
    assert "sk-1111" not in done.stdout + hub.log()


def test_what_waits_for_a_restart_is_named_again_each_time(hub: Server, upstream: GatedUpstream) -> None:
    write(hub, config(upstream.url, more="server: {base_path: /ai}"))
    for _ in range(2):
        assert '! server.base_path: "" → "/ai" (needs a restart)' in reload(hub).stdout
    assert hub.accepts(hub.new_key("k"))  # at the address from before


def test_a_bad_config_is_refused_in_the_words_of_validate_and_the_old_one_serves_on(
    hub: Server, upstream: GatedUpstream
) -> None:
    key = hub.new_key("k")
    bad = config(upstream.url).replace("max_connections: 1000", "max_connections: many").replace("base_url", "bas_url")
    write(hub, bad)
    validated = subprocess.run(
        [sys.executable, "-m", "relayhub", "validate"],
        cwd=hub.home,
        env=hub.env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    done = reload(hub)
    assert (validated.returncode, done.returncode, done.stdout) == (3, 1, "")
    assert "2 problems" in validated.stderr or "3 problems" in validated.stderr
    assert done.stderr.startswith(validated.stderr.rstrip())
    assert done.stderr.endswith("Nothing was changed: the config from before serves on.\n")
    assert hub.accepts(key)
    assert asyncio.run(ask(hub.url, key))[0] == 200


@pytest.mark.parametrize("text", ["providers: {", "- a\n- b\n", ""], ids=["no yaml", "a list", "empty"])
def test_what_is_no_config_at_all_changes_nothing(hub: Server, text: str) -> None:
    key = hub.new_key("k")
    write(hub, text)
    done = reload(hub, "--control", str(hub.home / "hub.db.control"))
    assert done.returncode == (0 if not text else 1)
    if text:
        assert hub.accepts(key)
        assert asyncio.run(ask(hub.url, key))[0] == 200


async def test_a_new_level_of_the_log_holds_for_calls_as_well(hub: Server, upstream: GatedUpstream) -> None:
    key = hub.new_key("k")

    def finished() -> int:
        return hub.log().count('"call.finished"')

    for level, written in (("error", False), ("info", True)):
        write(hub, config(upstream.url).replace("{format: json}", f"{{format: json, level: {level}}}"))
        assert reload(hub).returncode == 0
        before = finished()
        assert (await ask(hub.url, key))[0] == 200
        assert (finished() > before) is written, level


def test_json_says_the_same(hub: Server, upstream: GatedUpstream) -> None:
    write(hub, config(upstream.url, connections=7))
    done = reload(hub, "--json")
    assert done.returncode == 0
    assert '"path": "providers.up.max_connections"' in done.stdout
    write(hub, config(upstream.url, connections=0))
    done = reload(hub, "--json")
    assert done.returncode == 1
    assert '"ok": false' in done.stdout


def test_without_a_running_hub_the_command_says_so(home: Path, upstream: GatedUpstream) -> None:
    with running(home, config(upstream.url)) as server:
        pass
    done = reload(server)
    assert done.returncode == 1
    assert "no hub answers at" in done.stderr


def test_the_control_socket_is_its_owners_only_and_is_taken_away_at_the_end(hub: Server) -> None:
    control = hub.home / "hub.db.control"
    assert control.stat().st_mode & 0o777 == 0o600
    hub.terminate()
    assert hub.wait() == 0
    assert not control.exists()


def test_a_socket_that_a_dead_hub_left_is_replaced(home: Path, upstream: GatedUpstream) -> None:
    text = config(upstream.url, more="server: {control: run/hub.sock}")
    with running(home, text) as server:
        server.kill()
    assert (home / "run" / "hub.sock").exists()
    with running(home, text) as server:
        assert reload(server).returncode == 0


async def test_sighup_reloads_and_says_in_the_log_what_is_wrong(hub: Server, upstream: GatedUpstream) -> None:
    key = await asyncio.to_thread(hub.new_key, "k")
    write(hub, config(upstream.url).replace("base_url", "bas_url"))
    hub.process.send_signal(signal.SIGHUP)
    await asyncio.to_thread(hub.wait_until, lambda: "config.refused" in hub.log(), within_s=10)
    assert "Did you mean `base_url`?" in hub.log()
    write(hub, config(upstream.url, key="sk-9999"))
    hub.process.send_signal(signal.SIGHUP)
    await asyncio.to_thread(hub.wait_until, lambda: "config.reloaded" in hub.log(), within_s=10)
    assert (await ask(hub.url, key))[0] == 200
    assert upstream.keys() == ["sk-9999"]


async def test_watching_notices_the_config_and_its_secret_files(home: Path, upstream: GatedUpstream) -> None:
    (home / "key").write_text("sk-first")
    text = config(upstream.url).replace("api_key: sk-0000", "api_key_file: key")
    with running(home, text, options=("--watch",)) as hub:
        key = await asyncio.to_thread(hub.new_key, "k")
        (home / "key.new").write_text("sk-second")
        (home / "key.new").rename(home / "key")
        await asyncio.to_thread(hub.wait_until, lambda: hub.log().count("config.reloaded") == 1, within_s=15)
        assert (await ask(hub.url, key))[0] == 200
        assert upstream.keys() == ["sk-second"]
        write(hub, text.replace("models: {m:", "models: {renamed:"))
        await asyncio.to_thread(hub.wait_until, lambda: hub.log().count("config.reloaded") == 2, within_s=15)
        assert (await ask(hub.url, key, "renamed"))[0] == 200
        write(hub, "providers: {")
        await asyncio.to_thread(hub.wait_until, lambda: "config.refused" in hub.log(), within_s=15)
        assert (await ask(hub.url, key, "renamed"))[0] == 200


def test_dropped_in_plugins_wait_for_a_restart_and_are_named(home: Path, upstream: GatedUpstream) -> None:
    (home / "plugins").mkdir()
    with running(home, config(upstream.url, more="plugins: {dirs: [plugins]}")) as hub:
        (home / "plugins" / "acme.py").write_text("x = 1\n")
        assert f"! plugins.dirs: {home / 'plugins' / 'acme.py'} (needs a restart)" in reload(hub).stdout


VIDEO = """
store: {path: hub.db}
logging: {format: json}
providers:
  stays: {type: demo, models: {demo-chat: {free: true}}}
"""
GOES = "  goes: {type: demo, video_queue_s: 0.2, video_run_s: 2, models: {demo-video: {free: true, operations: [video]}}}\n"


async def test_an_open_job_of_a_removed_provider_is_looked_after_with_its_old_settings(home: Path) -> None:
    import aiohttp

    with running(home, VIDEO + GOES) as hub:
        key = await asyncio.to_thread(hub.new_key, "k")
        headers = {"authorization": f"Bearer {key}"}
        async with aiohttp.ClientSession(headers=headers) as session:
            asked = {"model": "demo-video", "prompt": "A dog."}
            async with session.post(f"{hub.url}/v1/videos", json=asked) as answer:
                made = await answer.json()
            write(hub, VIDEO)
            assert (await told(hub, "reload"))["ok"]
            await asyncio.to_thread(
                hub.wait_until,
                lambda: hub.rows("SELECT state FROM jobs WHERE finished_at IS NOT NULL") != [],
                within_s=30,
            )
            async with session.get(f"{hub.url}/v1/videos/{made['id']}") as answer:
                seen = await answer.json()
        assert seen["status"] == "completed", seen
        assert hub.rows("SELECT provider, outcome FROM usage") == [{"provider": "goes", "outcome": "completed"}]


async def test_a_renewed_certificate_is_shown_from_the_next_connection_on(home: Path, upstream: GatedUpstream) -> None:
    with tls_files(home) as (cert, key):
        tls = f"server: {{tls: {{cert_file: {cert}, key_file: {key}}}}}"
        with running(home, config(upstream.url, more=tls)) as hub:
            first = await asyncio.to_thread(shown_certificate, hub)
            with tls_files(home):
                pass
            assert "~ server.tls: another certificate" in reload(hub).stdout
            second = await asyncio.to_thread(shown_certificate, hub)
            assert second == ssl.PEM_cert_to_DER_cert(cert.read_text()) != first
            key.write_text("no key")
            refused = reload(hub)
            assert refused.returncode == 1
            assert "the renewed certificate cannot be used" in refused.stderr
            assert await asyncio.to_thread(shown_certificate, hub) == second


def shown_certificate(hub: Server) -> bytes:
    host, port = hub.url.removeprefix("https://").split(":")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection((host, int(port)), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=host) as wrapped,
    ):
        shown = wrapped.getpeercert(binary_form=True)
        assert shown is not None
        return shown

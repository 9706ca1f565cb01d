"""A hub under load is backed up by its own command, restored elsewhere, and goes on there with the same books."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.faults.asking import Answer
from tests.faults.asking import ask as ask_at
from tests.support.server import Server, cli, environment, running

CONFIG = """
store: {path: hub.db, durability: process}
logging: {format: json, level: warning}
providers:
  demo:
    video_queue_s: 0.05
    video_run_s: 0.1
    models:
      demo-chat: {price: {call: "0.001"}}
      demo-video: {operations: [video], price: {video: {"*": "0.01"}}}
"""
CHAT = {"model": "demo-chat", "messages": [{"role": "user", "content": "hi"}]}
CALLERS = 4


def ask(server: Server, key: str, path: str, body: object = None, **headers: str) -> Answer:
    data = None if body is None else json.dumps(body).encode()
    said = {"authorization": f"Bearer {key}", "content-type": "application/json", **headers}
    return ask_at(server.url, "GET" if data is None else "POST", path, data, said)


class Load:
    """Calls from all sides. ``took_s``: each with when it ended; ``failed``: those that were not answered 200."""

    def __init__(self, server: Server, key: str) -> None:
        self.server = server
        self.key = key
        self.took_s: list[tuple[float, float]] = []
        self.failed: list[object] = []
        self.stop = threading.Event()

    def run(self) -> None:
        while not self.stop.is_set():
            begun = time.monotonic()
            answer = ask(self.server, self.key, "/v1/chat/completions", CHAT)
            self.took_s.append((time.monotonic(), time.monotonic() - begun))
            if answer.status != 200:
                self.failed.append(answer)

    def between(self, begin: float, end: float) -> list[float]:
        return [took for at, took in self.took_s if begin <= at <= end]


@contextmanager
def loaded(server: Server, key: str) -> Iterator[Load]:
    load = Load(server, key)
    callers = [threading.Thread(target=load.run) for _ in range(CALLERS)]
    for caller in callers:
        caller.start()
    try:
        yield load
    finally:
        load.stop.set()
        for caller in callers:
            caller.join()


def films(server: Server, key: str, number: int) -> None:
    for _ in range(number):
        asked = {"model": "demo-video", "prompt": "a cat", "seconds": "3"}
        assert ask(server, key, "/v1/videos", asked).status == 200
    ended = "SELECT count(*) AS n FROM jobs WHERE state = 'succeeded'"
    server.wait_until(lambda: server.rows(ended) == [{"n": number}], within_s=20)


@pytest.fixture
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another machine, so to speak: a folder with the same config."""
    folder = tmp_path_factory.mktemp("other")
    (folder / "relayhub.yaml").write_text(CONFIG)
    return folder


def command(home: Path, *arguments: str) -> Any:
    return json.loads(cli(home, *arguments, "--json", env=environment(home)))


def test_a_hub_under_load_is_backed_up_and_restored(home: Path, other: Path) -> None:
    with running(home, CONFIG) as server:
        key = server.new_key("k")
        films(server, key, 3)
        with loaded(server, key) as load:
            server.wait_until(lambda: len(load.took_s) > 20, within_s=20)
            begun = time.monotonic()
            made = command(home, "backup", str(other / "b.db"), "--with-files")
            server.wait_until(lambda: bool(load.between(time.monotonic() - 1, time.monotonic())), within_s=10)
            ended = time.monotonic()
        assert load.failed == []
        assert len(load.between(begun, ended)) > 5, "calls go on meanwhile"
        assert made["sound"]
        assert made["files"]["files"] == 3
        assert str(home / "hub.db.key") in made["not_inside"]
        live = {str(row["call_id"]): row for row in server.rows("SELECT call_id, cost_nano, outcome FROM usage")}

    # without its key file nothing sealed could be opened; here nothing sealed is left that is wanted
    assert command(other, "restore", str(other / "b.db"), "--check")["sound"]
    shutil.copy(home / "hub.db.key", other / "hub.db.key")
    restored = command(other, "restore", str(other / "b.db"))
    assert restored["counts"] == made["counts"]
    assert restored["files"]["files"] == 3
    with running(other, CONFIG) as again:
        assert again.accepts(key)
        assert again.cli_json("ledger", "check") == {"exact": True, "violations": []}
        assert ask(again, key, "/v1/chat/completions", CHAT).status == 200
        rows = again.rows("SELECT call_id, cost_nano, outcome FROM usage")
        held = made["counts"]["open_holds"]
        same = [row for row in rows if live.get(str(row["call_id"])) == row]
        assert len(same) == made["counts"]["usage_rows"]
        assert len([row for row in rows if row["outcome"] == "lost"]) == held
        film = again.rows("SELECT id FROM jobs LIMIT 1")[0]["id"]
        content = ask(again, key, f"/v1/videos/{film}/content")
        assert content.status == 200
        refused = cli(other, "restore", str(other / "b.db"), "--force", env=environment(other), check=False)
        assert "has this database open" in refused


def test_the_command_says_what_is_inside_and_what_is_not(home: Path) -> None:
    (home / "relayhub.yaml").write_text(CONFIG)
    env = environment(home)
    cli(home, "keys", "create", "k", env=env)
    (home / "copies").mkdir()
    said = cli(home, "backup", "copies", env=env)
    (copy,) = (home / "copies").iterdir()
    assert copy.name.startswith("relayhub-")
    for wanted in (str(copy.relative_to(home)), "keys: 1", "hub.db.key", "relayhub.yaml", "artifacts"):
        assert wanted in said
    assert "sound" in cli(home, "restore", str(copy), "--check", env=env)


def test_a_backup_that_is_not_one_ends_the_command_with_a_line(home: Path) -> None:
    (home / "relayhub.yaml").write_text(CONFIG)
    (home / "b.db").write_bytes(b"SQLite format 3\0" + bytes(5000))
    env = environment(home)
    for options in ((), ("--check",), ("--force",)):
        said = cli(home, "restore", "b.db", *options, env=env, check=False)
        assert "damaged" in said or "no database of relayhub" in said
        assert "Traceback" not in said
    assert not (home / "hub.db").exists()


def test_keys_are_changed_beside_a_running_hub(home: Path) -> None:
    """What was kept for a name is replayed before, between and after; a message is signed with the new secret."""
    with running(home, CONFIG) as server:
        key = server.new_key("k")
        named = {"idempotency-key": "one"}
        first = ask(server, key, "/v1/chat/completions", CHAT, **named)
        assert first.status == 200
        old = server.cli("jobs", "webhook-secret", "k")
        changed = server.cli_json("vault", "rotate")
        assert isinstance(changed, dict)
        assert (changed["resealed"], changed["unreadable"]) == (1, 0)
        again = ask(server, key, "/v1/chat/completions", CHAT, **named)
        assert again.body == first.body
        assert server.cli("jobs", "webhook-secret", "k") != old
        assert "in " in server.cli("vault", "rotate", "--retire", check=False), "not within a minute"
        shown = server.cli_json("vault", "status")
        assert isinstance(shown, dict)
        assert [one["values"] for one in shown["keys"]] == [1, 0]
        assert server.rows("SELECT count(*) AS n FROM usage") == [{"n": 1}]

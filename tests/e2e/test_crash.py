"""kill -9 at the steps that matter of a real server: the books are exact after the restart, no hold stays open, and
nobody is charged for what was not executed. (Every single step is swept at the store: tests/store.)"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from relayhub.testing.crashing import VARIABLE
from tests.support.server import Server, cli, environment, running

CONFIG = """
store: {path: hub.db}
providers:
  demo:
    models: {demo-chat: {price: {call: "0.01"}}}
"""

# The first transaction of a server cleans up after dead ones, the second says that it lives; the third is the call's hold,
# the fourth its settlement.
HOLD, SETTLEMENT = 3, 4
POINTS = [
    (f"{step}:{nth}", charged)
    for nth in (HOLD, SETTLEMENT)
    for step, charged in (
        ("before_begin", 0),
        ("after_ledger", 0),
        ("before_commit", 0),
        ("after_commit", 1 if nth == SETTLEMENT else 0),
        ("before_acknowledge", 1 if nth == SETTLEMENT else 0),
    )
]


def call(server: Server, key: str) -> str:
    body = json.dumps({"model": "demo-chat", "messages": [{"role": "user", "content": "hi"}]}).encode()
    request = urllib.request.Request(f"{server.url}/v1/chat/completions", body, {"authorization": f"Bearer {key}"})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return str(answer.status)
    except (urllib.error.URLError, ConnectionError, OSError):
        return "lost"


@pytest.mark.parametrize(("point", "charged"), POINTS, ids=[point for point, _ in POINTS])
def test_the_books_are_exact_after_a_kill(home: Path, point: str, charged: int) -> None:
    (home / "relayhub.yaml").write_text(CONFIG)
    key = json.loads(cli(home, "keys", "create", "k", "--json", env=environment(home)))["key"]
    with running(home, CONFIG, env={VARIABLE: point}, module="relayhub.testing.crashing") as server:
        assert call(server, key) == "lost"
        assert server.wait() == -9
    with running(home, CONFIG) as server:
        assert server.rows("SELECT count(*) AS open FROM holds") == [{"open": 0}]
        assert server.cli_json("ledger", "check") == {"exact": True, "violations": []}
        assert server.rows("SELECT used_nano FROM accounts") == [{"used_nano": charged * 10_000_000}]
        outcomes = [row["outcome"] for row in server.rows("SELECT outcome FROM usage")]
        assert outcomes in ([], ["lost"], ["completed"])
        assert call(server, key) == "200"

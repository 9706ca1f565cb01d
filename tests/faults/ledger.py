"""The books of a running server, checked from outside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from relayhub.cli import main
from tests.support.server import PATIENCE_S, Server

SETTLED_S = 3.0
"""A call that has ended leaves no hold behind for longer than this."""

BALANCES = """
SELECT
  (SELECT coalesce(sum(used_nano), 0) FROM accounts) AS accounts_used,
  (SELECT coalesce(sum(used_nano), 0) FROM keys) AS keys_used,
  (SELECT coalesce(sum(cost_nano), 0) FROM usage) AS usage_cost,
  (SELECT coalesce(sum(held_nano), 0) FROM accounts) AS held,
  (SELECT count(*) FROM holds) AS open_holds
"""


def command(home: Path, *arguments: str, exit_code: int = 0) -> Any:
    """What a command says as JSON: in this process, as starting another one takes longer than most tests. Not for configs
    whose plugins change the process."""
    done = CliRunner().invoke(main, [*arguments, "--json", "--config", str(home / "relayhub.yaml")])
    assert done.exit_code == exit_code, done.output
    return json.loads(done.output)


def new_key(server: Server, name: str, *options: str) -> str:
    """A key that the server knows."""
    key = str(command(server.home, "keys", "create", name, *options)["key"])
    server.wait_until(lambda: server.accepts(key), within_s=PATIENCE_S)
    return key


def check_ledger(server: Server) -> None:
    """``relayhub ledger check`` finds nothing."""
    assert command(server.home, "ledger", "check") == {"exact": True, "violations": []}


def check_balances(server: Server) -> None:
    """No hold is left, and what was charged is what the usage rows say."""
    server.wait_until(lambda: server.rows(BALANCES)[0]["open_holds"] == 0, within_s=SETTLED_S)
    found = server.rows(BALANCES)[0]
    assert found["accounts_used"] == found["keys_used"] == found["usage_cost"], found
    assert found["held"] == 0, found

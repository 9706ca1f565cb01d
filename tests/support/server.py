"""The real program as a process."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

START_S = 20
STOP_S = 20
KEY_ACTS_S = 1.0
"""The promise: keys made or revoked beside a running server act within this."""

PATIENCE_S = 20
"""For what every test begins with and none is about."""


def environment(home: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """A clean environment: nothing of the person running the tests decides anything."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RELAYHUB", "OPENAI", "XDG_"))}
    return {**kept, "HOME": str(home), "XDG_DATA_HOME": str(home / "data"), "PYTHONWARNINGS": "error", **(extra or {})}


@dataclass
class Server:
    """``url``: where it listens, without a path. ``home``: its working folder with ``relayhub.yaml`` and the database."""

    process: subprocess.Popen[str]
    url: str
    home: Path
    env: dict[str, str]
    greeting: list[str]

    def cli(self, *arguments: str, check: bool = True) -> str:
        """Run a command beside the server, on the same config and database; its stdout."""
        return cli(self.home, *arguments, env=self.env, check=check)

    def cli_json(self, *arguments: str) -> object:
        return json.loads(self.cli(*arguments, "--json"))

    def rows(self, statement: str, *values: object) -> list[dict[str, object]]:
        """What the database says, without the cost of starting the program."""
        with contextlib.closing(sqlite3.connect(self.home / "hub.db", timeout=10)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(statement, values)]

    def last_usage(self, model: str) -> dict[str, object]:
        """The newest usage row of a model; it is there at the latest a moment after the answer's end."""
        statement = "SELECT * FROM usage WHERE model = ? ORDER BY at DESC LIMIT 1"
        self.wait_until(lambda: bool(self.rows(statement, model)), within_s=PATIENCE_S)
        return self.rows(statement, model)[0]

    def new_key(self, name: str, *options: str) -> str:
        made = self.cli_json("keys", "create", name, *options)
        assert isinstance(made, dict)
        key = str(made["key"])
        self.wait_until(lambda: self.accepts(key), within_s=PATIENCE_S)
        return key

    def accepts(self, key: str) -> bool:
        """Whether the server lets this key in."""
        request = urllib.request.Request(f"{self.url}/api/relay/v1/models", headers={"x-api-key": key})
        try:
            with urllib.request.urlopen(request, timeout=10):
                return True
        except urllib.error.HTTPError as error:
            error.close()
            return False

    def wait_until(self, condition: Callable[[], bool], *, within_s: float, every_s: float = 0.02) -> None:
        """Bounded waiting for something that another process will notice by itself."""
        deadline = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < deadline, f"it did not come about within {within_s} s"
            time.sleep(every_s)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(STOP_S)

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        return self.process.wait(STOP_S)

    def log(self) -> str:
        return (self.home / "server.log").read_text()


def cli(home: Path, *arguments: str, env: Mapping[str, str], check: bool = True) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "relayhub", *arguments],
        cwd=home,
        env=dict(env),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if check and done.returncode != 0:
        raise AssertionError(f"relayhub {' '.join(arguments)} → {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout if check else done.stdout + done.stderr


@contextmanager
def running(
    home: Path,
    config: str | None,
    *,
    env: Mapping[str, str] | None = None,
    options: tuple[str, ...] = (),
    module: str = "relayhub",
) -> Iterator[Server]:
    """``relayhub serve`` in ``home`` on a free port, with this config, until the block ends. Ends with SIGKILL if it is
    still there after SIGTERM."""
    if config is not None:
        (home / "relayhub.yaml").write_text(config)
    whole = environment(home, env)
    with (home / "server.log").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", module, "serve", "--port", "0", *options],
            cwd=home,
            env=whole,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        greeting = _greeting(process, home, demo=config is None)
        yield Server(process, greeting[0].removeprefix("relayhub listens on "), home, whole, greeting)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        assert process.stdout is not None
        process.stdout.close()


def _greeting(process: subprocess.Popen[str], home: Path, *, demo: bool) -> list[str]:
    assert process.stdout is not None
    last = "Your own providers" if demo else "Config:"
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        if line.startswith(last):
            return lines
    process.wait(START_S)
    raise AssertionError(f"the server did not start:\n{(home / 'server.log').read_text()}")

"""A hub of several worker processes, and what its log says of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import openai

from tests.support.server import Server, cli, environment, running

HELLO: list[Any] = [{"role": "user", "content": "Hello!"}]
ONE_KEY: Mapping[str, Sequence[str]] = MappingProxyType({"k": ()})
COMES_ABOUT_S = 15.0
"""A bound on waiting, far above what it takes."""

CONFIG = """
server: {{drain_s: {drain_s}}}
store: {{path: hub.db}}
logging: {{level: info, format: json}}
providers:
  demo:
    slow_first_byte_s: 0.05
    slow_chunk_s: {pace_s}
    models:
      demo-chat: {{price: {{call: "0.01"}}}}
      demo-slow: {{price: {{call: "0.01"}}}}
"""


def config(*, drain_s: float = 20, pace_s: float = 0.05) -> str:
    return CONFIG.format(drain_s=drain_s, pace_s=pace_s)


@dataclass
class Workers:
    """``keys``: made before the start, so that every worker knows them from the first moment."""

    server: Server
    keys: Mapping[str, str]

    @property
    def key(self) -> str:
        """The one that most tests need."""
        return self.keys["k"]

    def events(self, name: str) -> list[dict[str, Any]]:
        """Lines of the log, in order."""
        lines = (self.server.home / "server.log").read_text().splitlines()
        told = [json.loads(line) for line in lines if line.startswith("{")]
        return [event for event in told if event.get("event") == name]

    def pids(self) -> dict[int, int]:
        """Of those that serve, by number."""
        ready = {event["worker"]: event["pid"] for event in self.events("worker.ready")}
        return {number: pid for number, pid in ready.items() if is_alive(pid)}

    def served(self) -> Counter[int]:
        """Calls that are over, by worker."""
        return Counter(event["worker"] for event in self.events("call.finished"))

    def replaced(self, number: int, pid: int) -> bool:
        return self.pids().get(number, pid) != pid

    async def comes_about(self, condition: Any, within_s: float = COMES_ABOUT_S) -> None:
        await asyncio.to_thread(self.server.wait_until, condition, within_s=within_s)

    def held(self) -> int:
        return int(str(self.server.rows("SELECT count(*) AS n FROM holds")[0]["n"]))

    def outcomes(self) -> dict[str, int]:
        rows = self.server.rows("SELECT outcome, count(*) AS n FROM usage GROUP BY outcome")
        return {str(row["outcome"]): int(str(row["n"])) for row in rows}

    def check_books(self) -> None:
        assert self.server.cli_json("ledger", "check") == {"exact": True, "violations": []}


def is_alive(pid: int) -> bool:
    """Not yet ended; one that nobody has fetched has, once the last of its threads is gone: till then its sockets listen."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z" or len(list(Path(f"/proc/{pid}/task").iterdir())) > 1
    except OSError:
        return False


def signals_wait(pid: int) -> bool:
    """Whether it has signals to take yet: two that wait are one."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return False
    return any(int(line.split()[1], 16) for line in lines if line.startswith(("SigPnd", "ShdPnd")))


@contextmanager
def workers(
    home: Path, text: str | None = None, count: int = 2, *, keys: Mapping[str, Sequence[str]] = ONE_KEY
) -> Iterator[Workers]:
    """``keys``: the options of each."""
    (home / "relayhub.yaml").write_text(text or config())
    made = {
        name: json.loads(cli(home, "keys", "create", name, "--json", *options, env=environment(home)))["key"]
        for name, options in keys.items()
    }
    with running(home, text or config(), options=("--workers", str(count))) as server:
        fleet = Workers(server, made)
        begun = set(fleet.pids().values())
        try:
            yield fleet
        finally:
            begun |= set(fleet.pids().values())
            if server.process.poll() is not None:
                for pid in begun:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)


@asynccontextmanager
async def client_of(hub: Workers, key: str = "k") -> AsyncIterator[openai.AsyncOpenAI]:
    """A connection for each call that is under way."""
    url = f"{hub.server.url}/v1"
    async with openai.AsyncOpenAI(base_url=url, api_key=hub.keys[key], max_retries=0, timeout=60) as client:
        yield client


async def call(client: openai.AsyncOpenAI, model: str = "demo-chat") -> str:
    """What became of it: ok, or status and code."""
    try:
        await client.chat.completions.create(model=model, messages=HELLO)
    except openai.APIStatusError as error:
        return f"{error.status_code} {error.code}"
    except openai.APIConnectionError:
        return "lost"
    return "ok"


async def stream(client: openai.AsyncOpenAI, begun: asyncio.Semaphore) -> str:
    """How it ended: its finish reason, the code of an error, or ``lost``. ``begun`` is released at its first chunk."""
    finish = None
    try:
        async for chunk in await client.chat.completions.create(model="demo-slow", messages=HELLO, stream=True):
            if finish is None:
                finish = ""
                begun.release()
            finish = chunk.choices[0].finish_reason or finish
    except openai.APIStatusError as error:
        begun.release()
        return f"{error.status_code} {error.code}"
    except openai.APIConnectionError:
        return "lost"
    except openai.APIError as error:
        return str(error.code)
    except Exception as error:  # the wire broke: the client library has a word of its own for it
        return f"lost: {type(error).__name__}"
    return str(finish)


async def streams(client: openai.AsyncOpenAI, count: int) -> list[asyncio.Task[str]]:
    """So many that have all begun."""
    begun = asyncio.Semaphore(0)
    tasks = [asyncio.create_task(stream(client, begun)) for _ in range(count)]
    for _ in range(count):
        await begun.acquire()
    return tasks

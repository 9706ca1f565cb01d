"""The real program between a client and a faulty upstream, and what it has open."""

from __future__ import annotations

import asyncio
import json
import resource
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from relayhub.testing.faults import FaultUpstream
from tests.faults.bench import Json, config, provider
from tests.faults.health import Health, watching
from tests.faults.ledger import check_balances, check_ledger, new_key
from tests.faults.promises.client import Clients
from tests.faults.promises.figure import Figure
from tests.support.server import Server, running

TASKS = """
import asyncio, pathlib
from contextlib import asynccontextmanager
from relayhub.sdk import hookimpl

async def report():
    while True:
        pathlib.Path("tasks").write_text(str(len(asyncio.all_tasks())))
        await asyncio.sleep(0.25)

@hookimpl
def relayhub_lifespan(hub):
    @asynccontextmanager
    async def lifespan():
        task = asyncio.create_task(report())
        yield
        task.cancel()
    return lifespan()
"""

FILES = 8192
UNHURRIED: Mapping[str, float] = {"connect_s": 5, "first_byte_s": 30, "idle_s": 60, "total_s": 600}


@dataclass(frozen=True, slots=True)
class Ground:
    """``health``, and the log's last word, are there when the block of :func:`standing` is left."""

    hub: Server
    clients: Clients
    upstream: FaultUpstream
    health: list[Health]

    def others(self) -> list[Figure]:
        """How everybody else was served meanwhile; afterwards."""
        ends = [line for line in self.hub.log().splitlines() if '"loop.lag"' in line]
        lag_ms = float(json.loads(ends[-1])["p999_ms"])
        return [
            Figure("L16", "/api/health meanwhile, p99", self.health[0].p99_s * 1000, 250, "ms", timed=True),
            Figure("L16", "the event loop came round late, p99.9", lag_ms, 100, "ms", timed=True),
        ]

    @property
    def tasks(self) -> int:
        return int((self.hub.home / "tasks").read_text() or 0)


def upstreams(url: str, timeouts: Mapping[str, float] = UNHURRIED, **models: str) -> dict[str, Json]:
    """One provider for each, at the same place: its name, and the model that it has."""
    return {
        name: {**provider(url, model), "timeouts": timeouts, "max_connections": 5000} for name, model in models.items()
    }


@asynccontextmanager
async def standing(
    home: Path, providers: Callable[[str], Mapping[str, Json]], **sections: Json
) -> AsyncIterator[Ground]:
    """``providers``: by the address of the upstream. The books are checked at the end."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(FILES, most), most))
    (home / "plugins").mkdir()
    (home / "plugins" / "tasks.py").write_text(TASKS)
    upstream = FaultUpstream()
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(upstream.serving())
        text = config(providers(url), plugins={"dirs": ["plugins"]}, **sections)
        server = running(home, text)
        hub = await asyncio.to_thread(server.__enter__)
        try:
            key = await asyncio.to_thread(new_key, hub, "promises")
            await asyncio.to_thread(hub.wait_until, (home / "tasks").exists, within_s=5)
            watch = watching(hub)
            health = await asyncio.to_thread(watch.__enter__)
            try:
                yield Ground(hub, Clients(hub.url, key), upstream, health)
            finally:
                await asyncio.to_thread(watch.__exit__, None, None, None)
            await asyncio.to_thread(check_balances, hub)
            await asyncio.to_thread(check_ledger, hub)
        finally:
            await asyncio.to_thread(server.__exit__, None, None, None)


async def until(condition: Callable[[], bool], within_s: float) -> float:
    """How long it took; ``within_s`` if it did not come about."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while not condition() and loop.time() - began < within_s:
        await asyncio.sleep(0.02)
    return loop.time() - began

"""What a reload takes over, what it builds anew, and that it leaves nothing behind. A real hub, in this process."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from relayhub.accounts.pricing import Price
from relayhub.app import Hub, open_hub
from relayhub.build.generation import Generation
from relayhub.config import Config, ConfigError, read
from relayhub.plugins.host import PluginHost
from relayhub.routing.catalog import Route
from relayhub.routing.health import State
from relayhub.routing.provider import Provider
from relayhub.running.reload import Reloader
from relayhub.running.source import ConfigSource
from relayhub.sdk.clock import SystemClock
from relayhub.types.call import Operation
from relayhub.types.errors import ErrorKind, UpstreamError
from relayhub.upstream.lean.transport import LeanTransport
from tests.support.gated_upstream import GatedUpstream

UP = """
  up:
    type: openai
    base_url: {url}/v1
    api_key: {key}
    max_connections: {connections}
    {more}
    models: {{m: {{free: true}}{models}}}
"""
DEMO = "  demo: {type: demo, models: {demo-chat: {free: true}}}\n"


def up(
    url: str = "http://127.0.0.1:1", key: str = "sk-1", connections: int = 10, models: str = "", more: str = ""
) -> str:
    return UP.format(url=url, key=key, connections=connections, models=models, more=more)


class Bench:
    def __init__(self, hub: Hub, home: Path, plugins: PluginHost) -> None:
        self.hub = hub
        self.home = home
        self.plugins = plugins

    def provider(self, name: str = "up") -> Provider:
        return self.hub.generations.current.providers[name]

    def route(self) -> Route:
        return Route(self.provider(), "m", Price(), 100)

    async def reload(self, providers: str, more: str = "") -> Generation:
        config = read_config(self.home, self.plugins, providers, more)
        generation = await self.hub.generations.prepare(config)
        await self.hub.generations.adopt(generation)
        return generation


def read_config(home: Path, plugins: PluginHost, providers: str, more: str = "") -> Config:
    file = home / "relayhub.yaml"
    file.write_text(f"store: {{path: hub.db}}\n{more}\nproviders:\n{providers}")
    return read(file, {}).validate(plugins.settings_models())


@asynccontextmanager
async def opened(home: Path, providers: str, more: str = "") -> AsyncIterator[Bench]:
    plugins = PluginHost.load()
    async with open_hub(read_config(home, plugins, providers, more), plugins, SystemClock()) as hub:
        yield Bench(hub, home, plugins)


def failure() -> UpstreamError:
    return UpstreamError(
        ErrorKind.UPSTREAM_RATE_LIMITED, "Later.", code="later", retryable=True, delivered=False, retry_after_s=60
    )


async def test_an_unchanged_provider_keeps_its_object(tmp_path: Path) -> None:
    async with opened(tmp_path, DEMO + up()) as bench:
        before = bench.provider()
        await bench.reload(up(models=', extra: {price: {input: "1"}}'))
        assert bench.provider() is before
        assert list(bench.hub.generations.current.providers) == ["up"]


async def test_an_unchanged_provider_keeps_its_connections(tmp_path: Path) -> None:
    upstream = GatedUpstream()
    async with upstream.serving() as url, opened(tmp_path, up(url)) as bench:
        transport = bench.provider().transport
        assert isinstance(transport, LeanTransport)
        await used(bench.provider())
        assert transport.pool.free == 1
        await bench.reload(up(url) + DEMO)
        assert bench.provider().transport is transport
        assert transport.pool.free == 1


async def test_another_key_is_another_provider_on_the_same_connections(tmp_path: Path) -> None:
    async with opened(tmp_path, up()) as bench:
        before = bench.provider()
        await bench.reload(up(key="sk-2"))
        assert bench.provider() is not before
        assert bench.provider().transport is before.transport


async def test_connections_that_nobody_needs_any_more_are_closed(tmp_path: Path) -> None:
    upstream = GatedUpstream()
    async with upstream.serving() as url, opened(tmp_path, up(url)) as bench:
        before = bench.provider().transport
        assert isinstance(before, LeanTransport)
        await used(bench.provider())
        await bench.reload(up(url, connections=11))
        assert bench.provider().transport is not before
        assert before.pool.size == 0


async def test_a_call_that_began_before_may_still_send_and_leaves_no_connection(tmp_path: Path) -> None:
    upstream = GatedUpstream()
    async with upstream.serving() as url, opened(tmp_path, up(url)) as bench:
        before = bench.provider()
        await bench.reload(DEMO)
        await used(before)
        assert isinstance(before.transport, LeanTransport)
        assert before.transport.pool.size == 0


async def test_a_certificate_that_is_replaced_makes_new_connections(tmp_path: Path) -> None:
    import certifi

    authority = tmp_path / "ca.pem"
    authority.write_text(Path(certifi.where()).read_text())
    text = up(more=f"ca_file: {authority}")
    async with opened(tmp_path, text) as bench:
        before = bench.provider()
        await bench.reload(text)
        assert bench.provider() is before
        authority.write_text(authority.read_text() + "\n")
        await bench.reload(text)
        assert bench.provider().transport is not before.transport


async def used(provider: Provider) -> None:
    """One exchange over its connections."""
    lister = provider.capabilities.lister
    assert lister is not None
    steps = lister.list_models()
    async with provider.send(next(steps)) as reply:
        async for _ in reply.chunks():
            pass


# --- what was learnt --------------------------------------------------------------------------------------------------


async def fail_once(bench: Bench, route: Route) -> None:
    router = bench.hub.generations.current.router
    with pytest.raises(UpstreamError), router.way([route], Operation.CHAT).trying(route):
        raise failure()


async def test_a_circuit_survives_where_nothing_has_changed(tmp_path: Path) -> None:
    async with opened(tmp_path, up()) as bench:
        await fail_once(bench, bench.route())
        await bench.reload(up(models=", n: {free: true}"))
        assert bench.hub.generations.current.router.health.standing(bench.route()).state is State.OPEN


async def test_other_terms_reach_circuits_that_are_known(tmp_path: Path) -> None:
    async with opened(tmp_path, up()) as bench:
        await fail_once(bench, bench.route())
        await bench.reload(up(), "routing: {failovers: 3, circuit: {failures: 1}}")
        router = bench.hub.generations.current.router
        assert router.terms.failovers == 3
        assert router.health.standing(bench.route()).state is State.OPEN


async def test_another_key_begins_with_a_clean_record(tmp_path: Path) -> None:
    async with opened(tmp_path, up()) as bench:
        old = bench.route()
        await fail_once(bench, old)
        await bench.reload(up(key="sk-2"))
        health = bench.hub.generations.current.router.health
        assert health.standing(bench.route()).state is State.CLOSED
        # What a call with the old key still finds out is not held against the new one.
        await fail_once(bench, old)
        assert health.standing(bench.route()).state is State.CLOSED


async def test_calls_under_way_are_counted_across_a_reload(tmp_path: Path) -> None:
    limited = up(more="max_in_flight: 1")
    async with opened(tmp_path, limited) as bench:
        route = bench.route()
        with bench.hub.generations.current.router.way([route], Operation.CHAT).trying(route):
            await bench.reload(limited.replace("sk-1", "sk-2"))
            assert bench.hub.generations.current.router.health.standing(bench.route()).full
        assert not bench.hub.generations.current.router.health.standing(bench.route()).full


# --- all or nothing ---------------------------------------------------------------------------------------------------


async def test_what_cannot_be_built_changes_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path, up()) as bench:
        before, serving = bench.hub.generations.current, bench.hub.web.serving
        with pytest.raises(ConfigError, match="does not serve"):
            await bench.reload(up(key="sk-2") + DEMO.replace("free", "operations: [rerank], free"))
        assert bench.hub.generations.current is before
        assert bench.hub.web.serving is serving


async def test_what_serves_is_of_one_config(tmp_path: Path) -> None:
    async with opened(tmp_path, up()) as bench:
        generation = await bench.reload(DEMO, "server: {drain_s: 3}\nquota: {bytes_per_token: 4}")
        hub = bench.hub
        assert hub.web.serving.catalog is hub.pipeline.pipeline.catalog is generation.catalog
        assert hub.web.serving.pipeline is hub.pipeline.pipeline
        assert hub.web.serving.admin.catalog is generation.catalog
        assert hub.web.serving.admin.config is hub.config is generation.config
        assert hub.web.server.drain_s == 3
        assert generation.pipeline.bytes_per_token == 4


# --- what is left behind ----------------------------------------------------------------------------------------------


async def settled(tasks: int) -> None:
    """Until the loop has let go of what was cancelled."""
    while len(asyncio.all_tasks()) > tasks:
        await asyncio.sleep(0)


async def test_after_many_reloads_only_the_last_config_is_left(tmp_path: Path) -> None:
    async with opened(tmp_path, up() + DEMO) as bench:
        tasks = len(asyncio.all_tasks())
        made = [
            weakref.ref((await bench.reload(up(key=f"sk-{number}", connections=10 + number % 3) + DEMO)).catalog)
            for number in range(20)
        ]
        async with asyncio.timeout(5):
            await settled(tasks)
        gc.collect()
        assert [one() is not None for one in made] == [False] * 19 + [True]
        assert len(asyncio.all_tasks()) == tasks
        assert len(bench.hub.generations.current.removed) <= 2


# --- plugins' own transports --------------------------------------------------------------------------------------------

OWN = """
from pydantic import BaseModel, ConfigDict
from relayhub.sdk import ProviderType, hookimpl

class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid")
    number: int = 0

class Wires:
    closed = 0
    open = True

    async def close(self):
        Wires.closed += self.open
        self.open = False

    def send(self, request, deadlines):
        raise AssertionError("nobody sends")

class Own:
    def transport(self):
        return Wires()

    def native(self, dialect):
        return None

def build(settings, context):
    if settings.number == 13:
        raise SystemExit("not that one")
    return Own()

@hookimpl
def relayhub_register_providers():
    return [ProviderType(name="own", settings=Settings, build=build, summary="x")]
"""


@pytest.fixture
def own(tmp_path: Path) -> str:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "own.py").write_text(OWN)
    return str(tmp_path / "plugins")


def closed(bench: Bench) -> int:
    module: object = next(plugin.module for plugin in bench.plugins.plugins if plugin.name == "own")
    count: int = module.Wires.closed  # type: ignore[attr-defined]
    return count


@asynccontextmanager
async def opened_with(plugins: str, home: Path, providers: str) -> AsyncIterator[Bench]:
    host = PluginHost.load(dirs=[Path(plugins)])
    async with open_hub(read_config(home, host, providers), host, SystemClock()) as hub:
        yield Bench(hub, home, host)


async def test_a_plugins_own_transport_is_closed_with_its_provider(tmp_path: Path, own: str) -> None:
    async with opened_with(own, tmp_path, "  a: {type: own, number: 1}\n  b: {type: own}\n") as bench:
        kept = bench.provider("b").transport
        await bench.reload("  a: {type: own, number: 2}\n  b: {type: own}\n")
        assert (closed(bench), bench.provider("b").transport is kept) == (1, True)
        await bench.reload("  b: {type: own}\n")
        assert closed(bench) == 2
    assert closed(bench) == 3


async def test_what_was_built_for_a_config_that_is_refused_is_closed(tmp_path: Path, own: str) -> None:
    async with opened_with(own, tmp_path, "  a: {type: own}\n") as bench:
        with pytest.raises(ConfigError, match="does not serve"):
            await bench.reload("  a: {type: own, number: 1, models: {m: {free: true, operations: [rerank]}}}\n")
        assert closed(bench) == 1
    assert closed(bench) == 2


async def test_a_plugin_that_cannot_be_built_is_told_and_changes_nothing(tmp_path: Path, own: str) -> None:
    async with opened_with(own, tmp_path, "  a: {type: own}\n") as bench:
        reloader = Reloader(bench.hub, ConfigSource(tmp_path / "relayhub.yaml", {}, {}), lambda _: None)
        read_config(tmp_path, bench.plugins, "  a: {type: own, number: 13}\n")
        result = await reloader.reload()
        assert (result.ok, bench.hub.generations.current.number) == (False, 0)
        assert "SystemExit: not that one" in result.problems
        read_config(tmp_path, bench.plugins, "  a: {type: own, number: 14}\n")
        assert (await reloader.reload()).ok

"""The composition root: one ``Hub`` object built from a config, handed down to everything, started and stopped as one."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

import structlog
from aiohttp.web import AppRunner

from relayhub import __version__
from relayhub.accounts.admission import Admission
from relayhub.accounts.keyring import KeyRing
from relayhub.build.codecs import build_codecs
from relayhub.build.generation import Generation, Lasting, build_generation, build_offer
from relayhub.build.generations import Generations
from relayhub.build.providers import build_entries
from relayhub.config import Config
from relayhub.gateway.current import CurrentPipeline
from relayhub.gateway.named import NamedServing
from relayhub.gateway.open_calls import OpenCalls
from relayhub.gateway.tickets.calls import TicketCalls
from relayhub.jobs.build import build_engine
from relayhub.jobs.engine import JobEngine
from relayhub.jobs.watch import Watch
from relayhub.plugins.host import PluginHost
from relayhub.routing.health import Elsewhere
from relayhub.sdk.clock import Clock
from relayhub.sdk.hookspecs import HubContext
from relayhub.store.steps import no_step
from relayhub.store.store import Store
from relayhub.store.windows import Calendar
from relayhub.types.errors import ClientError
from relayhub.types.share import WHOLE, Share
from relayhub.upstream.memory import BodyMemory
from relayhub.web.address import Address
from relayhub.web.application import build_application, build_runner
from relayhub.web.certificate import Certificate
from relayhub.web.context import WebContext
from relayhub.web.listener import listen, stop_listening
from relayhub.web.machine import Machine
from relayhub.web.overload import OVERLOAD, Overload

log = structlog.get_logger("relayhub")


@dataclass(slots=True)
class Hub:
    """A running hub. Build it with :func:`open_hub`, which also takes it down in the right order. ``url``: where it
    listens; empty until it does."""

    lasting: Lasting
    generations: Generations
    pipeline: CurrentPipeline
    engine: JobEngine
    web: WebContext
    runner: AppRunner
    url: str = ""
    certificate: Certificate | None = None
    """What an HTTPS listener shows."""

    @property
    def config(self) -> Config:
        """The one in force."""
        return self.generations.current.config

    @property
    def store(self) -> Store:
        return self.lasting.store

    @property
    def keyring(self) -> KeyRing:
        return self.lasting.keyring

    @property
    def open_calls(self) -> OpenCalls:
        return self.lasting.open_calls

    @property
    def plugins(self) -> PluginHost:
        return self.lasting.plugins

    @property
    def draining(self) -> bool:
        return self.web.draining

    async def listen(self, door: socket.socket | None = None) -> str:
        """Open the door; returns the address. ``door``: a unix socket that listens already."""
        server, shared = self.config.server, self.lasting.share.of > 1
        self.certificate = None if server.tls is None else Certificate(server.tls)
        self.url = await listen(self.runner, server, shared=shared, door=door, certificate=self.certificate)
        self.lasting.address.listening(self.config.server, self.url)
        return self.url

    async def drain(self) -> int:
        """Refuse new calls, let the open ones finish up to ``server.drain_s``, cut the rest. Returns how many were cut."""
        self.web.draining = True
        await stop_listening(self.runner)
        cut = await self.open_calls.drain(self.config.server.drain_s)
        log.info("hub.drained", cut=cut)
        return cut

    def adopted(self, generation: Generation) -> None:
        """See :meth:`Generations.on_adopted`."""
        server = generation.config.server
        self.web.serving = generation.serving(self.engine)
        self.pipeline.pipeline = generation.pipeline
        self.engine.adopt(generation.jobs.care)
        self.runner.app[OVERLOAD].limit(server.max_in_flight, server.max_clients)
        if self.url:
            self.lasting.address.listening(server, self.url)

    def blocked(self, key_id: str, reason: ClientError) -> None:
        """See :meth:`KeyRing.on_blocked`."""
        if self.config.quota.revoked_streams == "cut":
            self.open_calls.cut_key(key_id, reason)


@asynccontextmanager
async def open_hub(
    config: Config,
    plugins: PluginHost,
    clock: Clock,
    on_step: Callable[[str], None] = no_step,
    share: Share = WHOLE,
    elsewhere: Elsewhere | None = None,
) -> AsyncIterator[Hub]:
    """Everything but the listening socket. On leaving: plugins' lifespans, connections, then the store, whose writer
    commits what is queued. ``on_step``: see :mod:`relayhub.store.steps`. ``share``, ``elsewhere``: of several processes
    that serve this hub together. Raises ``StoreError`` or ``HubError`` if the
    store cannot be opened."""
    async with AsyncExitStack() as stack:
        machine = Machine(share=share.of)
        machine.allocator.sort_out()
        memory = BodyMemory(clock, machine)
        lasting = replace(
            await _lasting(stack, config, plugins, clock, on_step), share=share, elsewhere=elsewhere, memory=memory
        )
        entries = build_entries(config, plugins, clock, memory=memory)
        first = build_generation(config, build_offer(config, entries, clock), lasting)
        generations = Generations(lasting, first)
        stack.push_async_callback(generations.close)
        stack.push_async_callback(lasting.drains.close)
        await stack.enter_async_context(plugins.watchdog.running())
        for lifespan in plugins.lifespans(HubContext(__version__, clock)):
            await stack.enter_async_context(lifespan)
        store, open_calls = lasting.store, lasting.open_calls
        pipeline = CurrentPipeline(first.pipeline)
        ticket_calls = TicketCalls(pipeline.serve, store.tickets, open_calls, clock)
        await stack.enter_async_context(ticket_calls.running())
        named = NamedServing(pipeline.serve, store.named_calls, open_calls, clock)
        await stack.enter_async_context(named.running())
        engine = build_engine(first.jobs.care, store, clock, lasting.watch)
        await stack.enter_async_context(engine.running())
        web = WebContext(first.serving(engine), lasting.keyring, ticket_calls, named, store, clock)
        server = config.server
        overload = Overload(clock, server.max_in_flight, server.max_clients, machine, share, memory)
        runner = build_runner(build_application(web, overload, plugins.ingresses))
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        hub = Hub(lasting, generations, pipeline, engine, web, runner)
        generations.on_adopted(hub.adopted)
        lasting.keyring.on_blocked(hub.blocked)
        yield hub


async def _lasting(
    stack: AsyncExitStack, config: Config, plugins: PluginHost, clock: Clock, on_step: Callable[[str], None]
) -> Lasting:
    """What outlives every config, with its background work."""
    store = await Store.open(
        config.store.path,
        durability=config.store.durability,
        clock=clock,
        on_step=on_step,
        calendar=Calendar(config.quota.zone),
    )
    stack.push_async_callback(store.close)
    if plugins.hears_of_settlements:
        store.ledger.on_settled(plugins.notify_settled)
    keyring = KeyRing(store.keys)
    await keyring.refresh()
    for work in (keyring.run(clock), store.epochs.run(clock), store.usage_rollups.run(clock, config.usage.keep_raw)):
        _run_beside(stack, work)
    return Lasting(
        store=store,
        keyring=keyring,
        plugins=plugins,
        clock=clock,
        codecs=build_codecs({ingress.name: ingress for ingress in plugins.ingresses}),
        open_calls=OpenCalls(),
        admission=Admission(store.ledger, clock),
        address=Address(),
        watch=Watch(store.jobs, clock),
    )


def _run_beside(stack: AsyncExitStack, work: Coroutine[object, object, None]) -> None:
    """Run a background loop for as long as the hub is open."""
    task = asyncio.create_task(work)

    async def stop() -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    stack.push_async_callback(stop)

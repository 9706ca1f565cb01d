"""One config after another: which one serves, and what becomes of those before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from weakref import WeakSet

from relayhub.build.generation import Generation, Lasting, build_generation, build_offer
from relayhub.build.providers import build_entries, providers_of, transports_of
from relayhub.config import Config
from relayhub.routing.probing import Probing
from relayhub.routing.provider import Provider
from relayhub.upstream.retiring import RetirableTransport


class Generations:
    """Create it on the loop that serves, and :meth:`close` it."""

    def __init__(self, lasting: Lasting, first: Generation) -> None:
        self.current = first
        self._lasting = lasting
        self._listeners: list[Callable[[Generation], None]] = []
        self._probing = _probing(first)
        self._retired: WeakSet[RetirableTransport] = WeakSet()
        """Of earlier configs, for as long as a call needs them."""

    def on_adopted(self, listener: Callable[[Generation], None]) -> None:
        """Call ``listener`` with each new one; all listeners are called before anything else runs."""
        self._listeners.append(listener)

    async def prepare(self, config: Config) -> Generation:
        """What ``config`` would make, beside what serves. Raises ``ConfigError``, ``HubError``."""
        with_jobs = await self._lasting.store.jobs.open_providers()
        before = self.current
        removed = _latest(
            one
            for one in (*before.providers.every(), *before.removed)
            # What serves now may be submitting a job at this moment.
            if one.capabilities.jobs and (one.name in before.providers or one.name in with_jobs)
        )
        lasting, number = self._lasting, before.number + 1
        entries = build_entries(config, lasting.plugins, lasting.clock, before.entries, number, lasting.memory)
        try:
            offer = await asyncio.to_thread(build_offer, config, entries, lasting.clock)
            return build_generation(config, offer, lasting, before, removed)
        except BaseException:
            await self._give_up(before.providers.every(), providers_of(entries).every())
            raise

    async def _give_up(self, kept: Sequence[Provider], built: Sequence[Provider]) -> None:
        """Whatever was built and is not to serve."""
        in_use = {id(transport) for transport in transports_of(kept)}
        for transport in transports_of(built):
            if id(transport) not in in_use:
                await transport.close()

    async def adopt(self, generation: Generation) -> None:
        """Serve with it from now on. Calls, streams and looks at jobs that have begun go on as they began; connections that
        nobody needs any more are closed, busy ones once they are idle."""
        before = self.current
        self.current = generation
        for listener in self._listeners:
            listener(generation)
        self._probing.cancel()
        self._probing = _probing(generation)
        await self._retire(before, generation)

    async def _retire(self, before: Generation, after: Generation) -> None:
        used = {provider.known_as for provider in after.providers.every()}
        for provider in before.providers.every():
            if provider.known_as not in used:
                after.router.health.forget(provider.known_as)
        connected = {id(transport) for transport in transports_of(after.providers.every())}
        for transport in transports_of(before.providers.every()):
            if id(transport) not in connected:
                self._retired.add(transport)
                await transport.retire()

    async def close(self) -> None:
        """Every connection, and the probing."""
        self._probing.cancel()
        await asyncio.gather(self._probing, return_exceptions=True)
        for transport in (*transports_of(self.current.providers.every()), *self._retired):
            await transport.close()


def _probing(generation: Generation) -> asyncio.Task[None]:
    return asyncio.create_task(Probing(generation.router, generation.providers).run())


def _latest(providers: Iterable[Provider]) -> list[Provider]:
    """The first of each label."""
    found: dict[str, Provider] = {}
    for provider in providers:
        found.setdefault(provider.label, provider)
    return list(found.values())

"""Finding out whether a resting upstream works again without a client's call: by asking it for its models."""

from __future__ import annotations

import asyncio

import structlog

from relayhub.plugins.isolation import is_own
from relayhub.routing.credentials import Providers
from relayhub.routing.discovery import discover_models
from relayhub.routing.provider import Provider
from relayhub.routing.router import Router
from relayhub.types.errors import RelayhubError

log = structlog.get_logger("relayhub.routing")

PROBE_TIMEOUT_S = 10.0


class Probing:
    """Only for upstreams that can list their models, which costs nothing. What has rested and does not answer rests on;
    what answers waits for a call as its real probe."""

    def __init__(self, router: Router, providers: Providers) -> None:
        self._router = router
        self._providers = providers

    async def run(self) -> None:
        """Until cancelled; at once back if the config does not want it."""
        every_s = self._router.terms.probe_s
        while every_s is not None:
            await self._router.clock.sleep(every_s)
            await self.turn()

    async def turn(self) -> None:
        """Ask every upstream of which some route has rested."""
        due = [
            provider
            for provider in self._providers.every()
            if provider.capabilities.lister is not None and self._router.health.rested(provider.known_as)
        ]
        await asyncio.gather(*(self._ask(provider) for provider in due))

    async def _ask(self, provider: Provider) -> None:
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                await discover_models(provider)
        except (RelayhubError, TimeoutError) as error:
            log.info("probe.failed", provider=provider.label, detail=str(error))
            self._router.health.rest_on(provider.known_as)
        except BaseException as error:
            # Plugin isolation: a lister's own bug must not end the probing of the others.
            if not is_own(error):
                raise
            log.exception("probe.failed", provider=provider.label)
            self._router.health.rest_on(provider.known_as)

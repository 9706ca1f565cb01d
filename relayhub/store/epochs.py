"""Epochs: which process a hold belongs to, and what becomes of the holds of a process that has died."""

from __future__ import annotations

import structlog

from relayhub.sdk.clock import Clock
from relayhub.store.intents import EndEpoch, ReleaseOrphans, RenewLease
from relayhub.store.writer import Writer
from relayhub.types.errors import HubError

LEASE_S = 60.0
"""A process of another host that has not renewed for this long counts as dead."""

log = structlog.get_logger("relayhub.store")


class Epochs:
    """This process's epoch. Its row is written with its first hold (a command that holds nothing leaves none)."""

    def __init__(self, writer: Writer, lease_s: float) -> None:
        self._writer = writer
        self._lease_s = lease_s

    async def renew(self) -> None:
        """Extend this process's lease. Raises ``HubError`` if the store cannot write."""
        await self._writer.submit(RenewLease())

    async def release_orphans(self) -> int:
        """Release the holds of dead processes, each with a usage row ``lost``; returns how many. Idempotent, and safe
        beside other processes that do the same."""
        released = await self._writer.submit(ReleaseOrphans())
        if released:
            log.warning("holds.orphaned", released=released)
        return released

    async def end(self) -> None:
        await self._writer.submit(EndEpoch())

    async def run(self, clock: Clock) -> None:
        """Renew and clean up until cancelled, three times per lease. A store in trouble is met again next time."""
        while True:
            await clock.sleep(self._lease_s / 3)
            try:
                await self.renew()
                await self.release_orphans()
            except HubError as error:
                log.warning("epochs.delayed", detail=error.detail)

"""Letting a call in: its money is held before anything is sent, and the hold ends exactly once however the call ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from relayhub.store.intents import HoldAbout, NewHold, Settled
from relayhub.store.ledger import Ledger
from relayhub.types.call import Principal, UsageRecord
from relayhub.types.limits import SETTLEMENT_WAIT_S

log = structlog.get_logger("relayhub.call")


class Reservation:
    """An open hold. :meth:`settle` it once; leaving the admission without that gives it back."""

    def __init__(self, ledger: Ledger, hold_id: str) -> None:
        self._ledger = ledger
        self._hold_id = hold_id
        self.ended = False

    async def settle(self, record: UsageRecord) -> Settled | None:
        """Charge ``record.cost_nano``. Queued at once: cancelling the caller changes nothing. Returns when it is durable,
        or ``None`` after :data:`SETTLEMENT_WAIT_S` if the store cannot write; it stays queued then."""
        self.ended = True
        return await _durable(self._ledger.settle(self._hold_id, record), self._hold_id)

    async def release(self) -> None:
        """Give it all back; no usage row."""
        self.ended = True
        await _durable(self._ledger.release(self._hold_id, None), self._hold_id)


class Admission:
    """Admits calls against the ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    @asynccontextmanager
    async def admit(
        self, principal: Principal, amount_nano: int, call_id: str, about: HoldAbout
    ) -> AsyncIterator[Reservation]:
        """Hold ``amount_nano`` while the block runs. Raises ``ClientError`` (quota, key) or ``HubError`` UNAVAILABLE
        before anything can have been sent."""
        new = NewHold(call_id, principal.key_id, principal.account_id, amount_nano, about)
        reservation = Reservation(self._ledger, await self._ledger.hold(new))
        try:
            yield reservation
        finally:
            if not reservation.ended:
                await reservation.release()


async def _durable(ending: asyncio.Future[Settled], hold_id: str) -> Settled | None:
    done, _ = await asyncio.wait({ending}, timeout=SETTLEMENT_WAIT_S)
    if done:
        return ending.result()
    log.error("settlement.delayed", hold_id=hold_id, waited_s=SETTLEMENT_WAIT_S)
    return None

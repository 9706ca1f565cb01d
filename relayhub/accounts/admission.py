"""Letting a call in: its money is held before anything is sent, and the hold ends exactly once however the call ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeAlias

import structlog

from relayhub.sdk.clock import Clock
from relayhub.store.intents import HoldAbout, NewHold, Settled
from relayhub.store.ledger import Ledger
from relayhub.store.refusals import REQUESTS_LIMITED, requests_limited
from relayhub.store.windows import MINUTE_S
from relayhub.store.writer import Told
from relayhub.types.call import Principal, UsageRecord
from relayhub.types.errors import ClientError, RelayhubError
from relayhub.types.limits import SETTLEMENT_WAIT_S

log = structlog.get_logger("relayhub.call")

AskedTold: TypeAlias = "Callable[[RelayhubError | None], None]"


class Reservation:
    """An open hold. :meth:`settle` it once; leaving the admission without that gives it back."""

    __slots__ = ("_hold_id", "_ledger", "ended")

    def __init__(self, ledger: Ledger, hold_id: int) -> None:
        self._ledger = ledger
        self._hold_id = hold_id
        self.ended = False

    async def settle(self, record: UsageRecord) -> Settled | None:
        """Charge ``record.cost_nano``. Queued at once: cancelling the caller changes nothing. Returns when it is durable,
        or ``None`` after :data:`SETTLEMENT_WAIT_S` if the store cannot write; it stays queued then."""
        self.ended = True
        return await _durable(self._ledger.settle(self._hold_id, record), self._hold_id)

    def end(self, record: UsageRecord, told: Told) -> None:
        """As :meth:`settle`, for whoever does not wait in a task: ``told`` gets a ``Settled`` or an error."""
        self.ended = True
        self._ledger.end(self._hold_id, record, told)

    def note_delayed(self, waited_s: float) -> None:
        """Its end was not durable in time."""
        log.error("settlement.delayed", hold_id=self._hold_id, waited_s=waited_s)

    async def release(self) -> None:
        """Give it all back; no usage row."""
        self.ended = True
        await _durable(self._ledger.release(self._hold_id, None), self._hold_id)


class Admitted:
    """One call's hold, for as long as a block runs."""

    __slots__ = ("_admission", "_new", "_principal", "_reservation")
    _reservation: Reservation

    def __init__(self, admission: Admission, principal: Principal, new: NewHold) -> None:
        self._admission = admission
        self._principal = principal
        self._new = new

    async def __aenter__(self) -> Reservation:
        self._reservation = await self._admission.hold(self._principal, self._new)
        return self._reservation

    async def __aexit__(self, *_: object) -> None:
        if not self._reservation.ended:
            await self._reservation.release()


class Asked(Reservation):
    """A hold that was asked for, and may be given up until it is granted. ``told`` is called with why there is none, or with
    ``None``: it must be ended from then on."""

    __slots__ = ("_admission", "_intent", "_principal", "_told")

    def __init__(
        self, admission: Admission, ledger: Ledger, principal: Principal, new: NewHold, told: AskedTold
    ) -> None:
        self._ledger = ledger
        self.ended = False
        self._admission = admission
        self._principal = principal
        self._told: AskedTold | None = told
        self._intent = ledger.ask(new, self._answered)

    def _answered(self, answer: object) -> None:
        told, self._told = self._told, None  # who is told has this, and neither should keep the other
        if isinstance(answer, int):
            self._hold_id = answer
            if told is None:
                self._ledger.release(answer, None)  # it was written when it was given up
            else:
                told(None)
            return
        if isinstance(answer, ClientError):
            self._admission.note_refused(self._principal, answer)
        if told is not None:
            told(answer if isinstance(answer, RelayhubError) else None)

    def give_up(self) -> None:
        """Whatever was or will be held is given back by itself."""
        self._intent.abandoned, self._told = True, None


class Admission:
    """Admits calls against the ledger."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._busy: dict[str, tuple[Principal, float]] = {}
        """Keys whose minute is used up, and until when: as each was known then, for a key that was changed is another."""

    def admit(
        self, principal: Principal, amount_nano: int, call_id: str, about: HoldAbout, *, tokens: int = 0
    ) -> Admitted:
        """For ``async with``: hold ``amount_nano`` while the block runs; ``tokens``: what the call may come to. Entering
        raises ``ClientError`` (quota, limits, key) or ``HubError`` UNAVAILABLE, before anything can have been sent."""
        new = NewHold(call_id, principal.key_id, principal.account_id, amount_nano, about, tokens)
        return Admitted(self, principal, new)

    def ask(
        self, principal: Principal, amount_nano: int, call_id: str, about: HoldAbout, tokens: int, told: AskedTold
    ) -> Asked:
        """As :meth:`admit`, for whoever does not wait in a task; ``told`` is never called before this returns."""
        if self._busy:
            self._refuse_early(principal)
        new = NewHold(call_id, principal.key_id, principal.account_id, amount_nano, about, tokens)
        return Asked(self, self._ledger, principal, new, told)

    async def hold(self, principal: Principal, new: NewHold) -> Reservation:
        """Whoever takes it must end it; see :meth:`admit`."""
        self._refuse_early(principal)
        try:
            return Reservation(self._ledger, await self._ledger.hold(new))
        except ClientError as error:
            self.note_refused(principal, error)
            raise

    def note_refused(self, principal: Principal, error: ClientError) -> None:
        """For refusing early what would be refused again."""
        if error.code == REQUESTS_LIMITED and error.retry_after_s is not None:
            self._busy[principal.key_id] = principal, self._clock.now() + error.retry_after_s

    def _refuse_early(self, principal: Principal) -> None:
        """Whoever is told to wait and does not costs no transaction: within its minute, requests only grow."""
        found = self._busy.get(principal.key_id)
        if found is None:
            return
        known, until = found
        wait_s = until - self._clock.now()
        if known is principal and principal.requests_per_minute is not None and 0 < wait_s <= MINUTE_S:
            raise requests_limited(principal.requests_per_minute, wait_s)
        del self._busy[principal.key_id]


async def _durable(ending: asyncio.Future[Settled], hold_id: int) -> Settled | None:
    """Cancelling ``ending`` withdraws nothing, so nothing needs to stand between it and whoever waits."""
    late: list[bool] = []

    def give_up() -> None:
        late.append(ending.cancel())

    timer = asyncio.get_running_loop().call_later(SETTLEMENT_WAIT_S, give_up)
    try:
        return await ending
    except asyncio.CancelledError:
        if not any(late):
            raise
    finally:
        timer.cancel()
    log.error("settlement.delayed", hold_id=hold_id, waited_s=SETTLEMENT_WAIT_S)
    return None

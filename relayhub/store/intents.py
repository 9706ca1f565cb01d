"""What can be asked of the writer. One class per kind; the type parameter is what its caller gets back."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Generic, TypeVar

import msgspec

from relayhub.types.call import Outcome, UsageRecord
from relayhub.types.usage import Usage

T_co = TypeVar("T_co", covariant=True)


class LedgerKind(StrEnum):
    """The kinds of ledger row."""

    GRANT = "grant"
    REDEMPTION = "redemption"
    HOLD = "hold"
    SETTLEMENT = "settlement"
    RELEASE = "release"
    REFUND = "refund"
    ADJUSTMENT = "adjustment"


class HoldAbout(msgspec.Struct, frozen=True):
    """What is known of a call when it is admitted: enough for its usage row if nothing more is ever heard of it."""

    operation: str
    dialect: str
    model: str
    provider: str
    upstream_model: str
    stream: bool
    price: str = ""
    user_identifier: str | None = None
    price_version: str = ""

    def uncharged(
        self, outcome: Outcome, *, call_id: str, account_id: str, key_id: str, at: float, error_code: str | None = None
    ) -> UsageRecord:
        """The usage row of a call that ended without an account of itself."""
        return UsageRecord(
            call_id=call_id,
            at=at,
            account_id=account_id,
            key_id=key_id,
            operation=self.operation,
            dialect=self.dialect,
            model=self.model,
            provider=self.provider,
            upstream_model=self.upstream_model,
            stream=self.stream,
            outcome=outcome,
            measured=False,
            usage=Usage(),
            cost_nano=0,
            price=self.price,
            error_code=error_code,
            user_identifier=self.user_identifier,
            price_version=self.price_version,
        )


class NewHold(msgspec.Struct, frozen=True, gc=False):
    """A call that asks to be admitted: may this key spend up to ``amount_nano``? ``tokens``, ``video_ms``: what it may come
    to, for the key's limits. Only values: what is put into it must never lead back to it (``gc=False``)."""

    call_id: str
    key_id: str
    account_id: str
    amount_nano: int
    about: HoldAbout
    tokens: int = 0
    video_ms: int = 0


class Settled(msgspec.Struct, frozen=True, gc=False):
    """How a hold ended. ``shortfall_nano``: the part of the cost that the account could not pay. ``ended_before``: the
    hold had ended already, and this request changed nothing."""

    charged_nano: int
    shortfall_nano: int
    ended_before: bool = False


@dataclass(frozen=True, slots=True)
class Balance:
    """An account's money, in nano-USD. ``total`` = ``used`` + ``held`` + ``remaining`` by construction."""

    total_nano: int
    used_nano: int
    held_nano: int

    @property
    def remaining_nano(self) -> int:
        return self.total_nano - self.used_nano - self.held_nano


class Intent(Generic[T_co]):
    """``kept``: survives a failed transaction and is tried again. ``power``: committed with a full sync always. ``trailing``:
    told to nobody outside, so that it may get to the disk a little later than it is answered; see ``syncing``."""

    __slots__ = ()
    kept: ClassVar[bool] = False
    power: ClassVar[bool] = False
    trailing: ClassVar[bool] = False

    @property
    def patient(self) -> bool:
        """It may wait a little for others to share its transaction."""
        return False


class OpenHold(msgspec.Struct, Intent[int | None], gc=False):
    """Write a hold; answers its id. ``abandoned``: set by a caller that left before the writer came to it; the answer is
    ``None`` then. Only values, as :class:`NewHold`."""

    new: NewHold
    about_json: str
    abandoned: bool = False
    trailing: ClassVar[bool] = True


class EndHold(msgspec.Struct, Intent[Settled], gc=False):
    """Settle (``charge``) or release a hold, and write the call's usage row if there is a record of it. Only values, as
    :class:`NewHold`."""

    hold_id: int
    record: UsageRecord | None
    charge: bool
    kept: ClassVar[bool] = True

    @property
    def patient(self) -> bool:
        """Of a stream, whose client has been shown most of it."""
        return self.record is not None and self.record.stream


@dataclass(frozen=True, slots=True)
class ChangeTotal(Intent[Balance]):
    """A grant, redemption or adjustment."""

    kind: LedgerKind
    account_id: str
    amount_nano: int
    actor: str
    reason: str
    power: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class RenewLease(Intent[None]):
    """Say that this process lives."""


@dataclass(frozen=True, slots=True)
class EndEpoch(Intent[None]):
    """Say that this process ends; its epoch goes unless it still has open holds."""


@dataclass(frozen=True, slots=True)
class ReleaseOrphans(Intent[int]):
    """End the holds of dead processes; answers how many there were."""


@dataclass(frozen=True, slots=True)
class Probe(Intent[None]):
    """Prove that a transaction can be begun and committed; ``write``: with something in it."""

    write: bool


@dataclass(frozen=True, slots=True)
class Barrier(Intent[None]):
    """Answered when everything before it has been."""

    kept: ClassVar[bool] = True

"""What can be asked of the writer by people: money that comes in together with the record of who brought it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from relayhub.store.audit import Actor
from relayhub.store.intents import Balance, ChangeTotal, Intent


@dataclass(frozen=True, slots=True)
class Redeemed:
    """``balance``: the account's, afterwards."""

    added_nano: int
    balance: Balance


@dataclass(frozen=True, slots=True)
class Redeem(Intent[Redeemed]):
    """Use a code for an account. ``key_id``: the key that asks, checked again; ``None`` for a person who is signed in."""

    code_hash: str
    account_id: str
    key_id: str | None
    by: Actor
    power: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class Fund(Intent[Balance]):
    """A grant or adjustment, and its row in the audit log."""

    change: ChangeTotal
    by: Actor
    power: ClassVar[bool] = True

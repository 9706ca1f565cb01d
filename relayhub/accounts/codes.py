"""Making redemption codes, and redeeming them."""

from __future__ import annotations

from dataclasses import dataclass

from relayhub.accounts.code_text import code_hint, hash_code, is_prefix, new_code
from relayhub.accounts.throttle import Throttle
from relayhub.store import refusals
from relayhub.store.audit import Actor
from relayhub.store.codes import CodeBatch, Codes, HashedCode, NewBatch
from relayhub.store.ledger import Ledger
from relayhub.store.people_intents import Redeemed
from relayhub.types.errors import invalid_request

MAX_CODES = 10_000
"""In one batch: one transaction of well under a second."""


@dataclass(frozen=True, slots=True)
class IssuedCodes:
    """``codes`` are shown once and kept nowhere."""

    batch: CodeBatch
    codes: tuple[str, ...]


async def issue_codes(codes: Codes, new: NewBatch, count: int, by: Actor) -> IssuedCodes:
    """Raises ``ClientError`` for a prefix that is none."""
    if not is_prefix(new.prefix):
        raise invalid_request("A prefix has 1 to 16 capital letters and digits.", code="invalid_prefix", param="prefix")
    made = tuple(new_code(new.prefix) for _ in range(count))
    hashed = [HashedCode(hash_code(code) or "", code_hint(code)) for code in made]
    return IssuedCodes(await codes.create(new, hashed, by), made)


class CodeDesk:
    """Where codes are redeemed."""

    def __init__(self, ledger: Ledger, throttle: Throttle) -> None:
        self._ledger = ledger
        self._throttle = throttle

    async def redeem(self, text: str, account_id: str, *, key_id: str | None, by: Actor) -> Redeemed:
        """Raises ``ClientError``: the same one for every code that is worth nothing, RATE_LIMITED after too many of those
        by one account or from one address."""
        async with self._throttle.redeeming(account_id, by.client):
            code_hash = hash_code(text)
            if code_hash is None:
                raise refusals.worthless_code()
            return await self._ledger.redeem(code_hash, account_id, key_id=key_id, by=by)

"""The codes' and the audit log's part of one transaction of the writer."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from relayhub.store.audit import Change, write_changes
from relayhub.store.intents import Balance, ChangeTotal, Intent, LedgerKind
from relayhub.store.people_intents import Fund, Redeem
from relayhub.store.rows import Row, insert_into
from relayhub.types.json import JsonObject

_LOAD_CODES = (
    "SELECT codes.hash, codes.id, codes.uses_left, value_nano, expires_at, voided_at, name"
    " FROM codes JOIN code_batches ON code_batches.id = batch_id WHERE codes.hash IN (SELECT value FROM json_each(?))"
)
_LOAD_TAKEN = "SELECT code_id, account_id FROM redemptions WHERE code_id IN (SELECT value FROM json_each(?))"
_STORE_CODE = "UPDATE codes SET uses_left = ? WHERE id = ?"
_INSERT_REDEMPTION = insert_into("redemptions")


@dataclass(slots=True)
class _Code:
    id: str
    uses_left: int
    value_nano: int
    expires_at: float | None
    voided_at: float | None
    batch: str
    changed: bool = False

    def in_force(self, now: float) -> bool:
        return self.voided_at is None and self.uses_left > 0 and (self.expires_at is None or self.expires_at > now)


class PeopleBatch:
    """Used by :class:`relayhub.store.batch.Batch`."""

    def __init__(self, connection: sqlite3.Connection, intents: Sequence[Intent[object]], now: float) -> None:
        self._connection = connection
        self._now = now
        self._codes = self._load_codes({intent.code_hash for intent in intents if isinstance(intent, Redeem)})
        self._taken = self._load_taken()
        self._redemptions: list[Row] = []
        self._changes: list[Change] = []

    def _load_codes(self, hashes: set[str]) -> dict[str, _Code]:
        rows = self._connection.execute(_LOAD_CODES, (json.dumps(sorted(hashes)),)) if hashes else ()
        return {row[0]: _Code(*row[1:]) for row in rows}

    def _load_taken(self) -> set[tuple[str, str]]:
        ids = [code.id for code in self._codes.values()]
        return {(row[0], row[1]) for row in self._connection.execute(_LOAD_TAKEN, (json.dumps(ids),))} if ids else set()

    def worth(self, intent: Redeem) -> ChangeTotal | None:
        """What the code is worth to this account; ``None`` if nothing: unknown, used, expired and void look the same."""
        code = self._codes.get(intent.code_hash)
        if code is None or not code.in_force(self._now) or (code.id, intent.account_id) in self._taken:
            return None
        reason = f"code {code.id} of {code.batch}"
        return ChangeTotal(LedgerKind.REDEMPTION, intent.account_id, code.value_nano, intent.by.name, reason)

    def redeemed(self, intent: Redeem) -> None:
        """The account was given what the code is worth."""
        code = self._codes[intent.code_hash]
        after: JsonObject = {
            "uses_left": code.uses_left - 1,
            "account_id": intent.account_id,
            "amount_nano": code.value_nano,
        }
        self._changes.append(Change(intent.by, "code.redeem", code.id, {"uses_left": code.uses_left}, after))
        code.uses_left -= 1
        code.changed = True
        self._taken.add((code.id, intent.account_id))
        row = (code.id, intent.account_id, intent.key_id, intent.by.name, self._now, code.value_nano)
        self._redemptions.append(row)

    def funded(self, intent: Fund, balance: Balance) -> None:
        change, after = intent.change, balance.total_nano
        self._changes.append(
            Change(
                intent.by,
                f"account.{change.kind.value}",
                change.account_id,
                {"total_nano": after - change.amount_nano},
                {"total_nano": after, "reason": change.reason},
            )
        )

    def write(self) -> None:
        changed = [(code.uses_left, code.id) for code in self._codes.values() if code.changed]
        if changed:
            self._connection.executemany(_STORE_CODE, changed)
            self._connection.executemany(_INSERT_REDEMPTION, self._redemptions)
        write_changes(self._connection, self._changes, self._now)

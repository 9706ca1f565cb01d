"""Ledger rows, for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, select

from relayhub.store.engine import Engine
from relayhub.store.intents import LedgerKind
from relayhub.store.schema import HOLD_ENDS, ledger


@dataclass(frozen=True, slots=True)
class LedgerFilter:
    """``call_id``: of a call or the one that a job was; ``below``: only rows with a smaller id; ``since`` inclusive,
    ``until`` exclusive."""

    account_id: str | None = None
    key_id: str | None = None
    kind: LedgerKind | None = None
    below: int | None = None
    call_id: str | None = None
    actor: str | None = None
    since: float | None = None
    until: float | None = None


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """``amount_nano``: of a hold or release what was held, of a settlement what was charged."""

    id: int
    at: float
    kind: LedgerKind
    account_id: str
    key_id: str | None
    hold_id: int | None
    call_id: str | None
    amount_nano: int
    actor: str | None
    reason: str | None


class LedgerReport:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def rows(self, wanted: LedgerFilter, limit: int) -> list[LedgerRow]:
        """The newest first."""
        c = ledger.c
        exact = (
            (c.account_id, wanted.account_id),
            (c.key_id, wanted.key_id),
            (c.kind, wanted.kind),
            (c.call_id, wanted.call_id),
            (c.actor, wanted.actor),
        )
        conditions = [column == value for column, value in exact if value is not None]
        if wanted.below is not None:
            conditions.append(c.id < wanted.below)
        if wanted.since is not None:
            conditions.append(c.at >= wanted.since)
        if wanted.until is not None:
            conditions.append(c.at < wanted.until)
        async with self._engine.reading() as connection:
            found = await connection.execute(select(ledger).where(*conditions).order_by(c.id.desc()).limit(limit))
            return [_row(row) for row in found]

    async def of_hold(self, hold_id: int) -> list[LedgerRow]:
        """How a hold began and ended, the oldest first."""
        found: list[LedgerRow] = []
        async with self._engine.reading() as connection:
            for part in (ledger.c.id == hold_id, HOLD_ENDS):  # each has an index
                rows = await connection.execute(select(ledger).where(ledger.c.hold_id == hold_id, part))
                found += [_row(row) for row in rows]
        return found


def _row(row: Row[*tuple[Any, ...]]) -> LedgerRow:
    values = row._asdict()
    return LedgerRow(**{**values, "kind": LedgerKind(values["kind"])})

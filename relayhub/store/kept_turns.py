"""What an answer's thinking needs when the conversation comes back, where the client's dialect has no place for it: sealed,
bounded, for a day, and the same for all processes of the hub."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.dialects.sqlite import insert

from relayhub.store import places
from relayhub.store.engine import Engine
from relayhub.store.schema import kept_turns
from relayhub.store.vault import Vault

KEPT_S = 24 * 3600.0
MAX_PER_ACCOUNT = 2_000
"""Rows; the oldest leave. Long conversations of an agent have a few hundred calls."""


@dataclass(frozen=True, slots=True)
class KeptTurn:
    """``ref``: what the client will send again (see :mod:`relayhub.gateway.kept_state`); ``provider``: who answered."""

    ref: str
    provider: str
    state: bytes


class KeptTurns:
    def __init__(self, engine: Engine, vault: Vault) -> None:
        self._engine = engine
        self._vault = vault

    async def keep(self, account_id: str, turns: Sequence[KeptTurn], now: float) -> None:
        """Durable when this returns; a reference that is there already is replaced. Raises ``HubError``."""
        rows = [
            {
                "account_id": account_id,
                "ref": turn.ref,
                "provider": turn.provider,
                "sealed": self._vault.seal(turn.state, places.kept_turn(account_id, turn.ref)),
                "expires_at": now + KEPT_S,
            }
            for turn in turns
        ]
        statement = insert(kept_turns)
        replacing = statement.on_conflict_do_update(
            index_elements=["account_id", "ref"],
            set_={name: statement.excluded[name] for name in ("provider", "sealed", "expires_at")},
        )
        mine = kept_turns.c.account_id == account_id
        newest = select(kept_turns.c.ref).where(mine).order_by(kept_turns.c.expires_at.desc(), kept_turns.c.ref)
        async with self._engine.writing() as connection:
            await connection.execute(delete(kept_turns).where(kept_turns.c.expires_at <= now))
            await connection.execute(replacing, rows)
            await connection.execute(
                delete(kept_turns).where(mine, kept_turns.c.ref.in_(newest.offset(MAX_PER_ACCOUNT).limit(-1)))
            )

    async def find(self, account_id: str, refs: Sequence[str], now: float) -> Mapping[str, KeptTurn]:
        """Those that are there and can be opened, by reference. Raises ``HubError``."""
        wanted = select(kept_turns).where(
            kept_turns.c.account_id == account_id,
            kept_turns.c.ref.in_(refs[-MAX_PER_ACCOUNT:]),
            kept_turns.c.expires_at > now,
        )
        async with self._engine.reading() as connection:
            rows = (await connection.execute(wanted)).all()
        opened = ((row, self._vault.unseal(row.sealed, places.kept_turn(account_id, row.ref))) for row in rows)
        return {row.ref: KeptTurn(row.ref, row.provider, state) for row, state in opened if state is not None}

"""The ledger: money is held before a call, and charged or given back after it. Exact at every instant."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import msgspec
import structlog

from relayhub.store.audit import Actor
from relayhub.store.check import Violation, violations
from relayhub.store.engine import Engine
from relayhub.store.intents import Balance, ChangeTotal, EndHold, HoldAbout, LedgerKind, NewHold, OpenHold, Settled
from relayhub.store.people_intents import Fund, Redeem, Redeemed
from relayhub.store.rows import storable
from relayhub.store.writer import Told, Writer
from relayhub.types.call import UsageRecord
from relayhub.types.money import MAX_NANO

log = structlog.get_logger("relayhub.store")

KEPT_TEXTS = 256

OnSettled = Callable[[UsageRecord], None]


class SettledListeners:
    """Who is told of usage rows after their commit, exactly once each."""

    def __init__(self) -> None:
        self._listeners: list[OnSettled] = []

    def add(self, listener: OnSettled) -> None:
        self._listeners.append(listener)

    def tell(self, records: Sequence[UsageRecord]) -> None:
        for record in records:
            for listener in self._listeners:
                listener(record)


class Ledger:
    """The async face of the writer. Use on the loop that opened the store."""

    def __init__(self, writer: Writer, engine: Engine, listeners: SettledListeners) -> None:
        self._writer = writer
        self._engine = engine
        self._listeners = listeners
        self._about = msgspec.json.Encoder()
        self._texts: dict[int, tuple[HoldAbout, str]] = {}
        """By identity, which is each one's own for as long as it is kept here."""

    def on_settled(self, listener: OnSettled) -> None:
        """Call ``listener`` on the loop after each commit, once per usage row. It must not raise or block."""
        self._listeners.add(listener)

    async def hold(self, new: NewHold) -> int:
        """Hold money for a call; returns the hold's id once no crash of the process can take it. Raises ``ClientError``
        (key unknown, revoked or expired; quota not enough) or ``HubError`` UNAVAILABLE. If the caller is cancelled,
        whatever was or will be held is released by itself."""
        intent = OpenHold(new, self._text_of(new.about))
        answer = self._writer.submit(intent)
        try:
            hold_id = await answer
        except asyncio.CancelledError:
            intent.abandoned = True
            if answer.done() and not answer.cancelled() and answer.exception() is None:
                self._release_unseen(answer.result())
            raise
        assert hold_id is not None  # only who has left is told so
        return hold_id

    def _release_unseen(self, hold_id: int | None) -> None:
        """It was granted, and nobody has looked yet."""
        if hold_id is not None:
            self.release(hold_id, None)

    def ask(self, new: NewHold, told: Told) -> OpenHold:
        """As :meth:`hold`, for whoever does not wait in a task: ``told`` gets the hold's id, an error, or ``None`` where the
        hold was abandoned before it was written."""
        about = new.about
        known = self._texts.get(id(about))
        intent = OpenHold(new, self._learn(about) if known is None else known[1])
        self._writer.ask(intent, told)
        return intent

    def _learn(self, about: HoldAbout) -> str:
        """Calls without a user are of a few kinds, whose account of themselves is one object each."""
        text = self._text_of(about)
        if about.user_identifier is not None:
            return text
        if len(self._texts) >= KEPT_TEXTS:
            self._texts.clear()
        self._texts[id(about)] = (about, text)
        return text

    def _text_of(self, about: HoldAbout) -> str:
        return storable(self._about.encode(about).decode())

    def settle(self, hold_id: int, record: UsageRecord) -> asyncio.Future[Settled]:
        """Charge a hold with ``record.cost_nano`` and write its usage row. Queued at once and never withdrawn: the
        future, which a caller may stop awaiting, is done when it is durable. Settling an ended hold does nothing."""
        return self._writer.submit(EndHold(hold_id, record, charge=True))

    def end(self, hold_id: int, record: UsageRecord, told: Told) -> None:
        """As :meth:`settle`, for whoever does not wait in a task: ``told`` gets a ``Settled`` or an error."""
        self._writer.ask(EndHold(hold_id, record, True), told)

    def release(self, hold_id: int, record: UsageRecord | None) -> asyncio.Future[Settled]:
        """Give a hold back; otherwise as :meth:`settle`."""
        return self._writer.submit(EndHold(hold_id, record, charge=False))

    async def grant(self, account_id: str, amount_nano: int, *, actor: str | Actor, reason: str) -> Balance:
        """Add to an account; the audit log says so. ``actor``: who, with where from if that is known. Raises
        ``ClientError`` for an unknown account or an amount out of range."""
        if not 0 < amount_nano <= MAX_NANO:
            raise ValueError(f"a grant must be above zero and at most {MAX_NANO} nano-USD, not {amount_nano}")
        return await self._fund(LedgerKind.GRANT, account_id, amount_nano, actor, reason)

    async def adjust(self, account_id: str, amount_nano: int, *, actor: str | Actor, reason: str) -> Balance:
        """Correct an account by a signed amount; never below what it has left (``ClientError``). The audit log says so."""
        return await self._fund(LedgerKind.ADJUSTMENT, account_id, amount_nano, actor, reason)

    async def _fund(
        self, kind: LedgerKind, account_id: str, amount_nano: int, actor: str | Actor, reason: str
    ) -> Balance:
        by = Actor(actor) if isinstance(actor, str) else actor
        change = ChangeTotal(kind, account_id, amount_nano, storable(by.name), storable(reason))
        return await self._writer.submit(Fund(change, by))

    async def redeem(self, code_hash: str, account_id: str, *, key_id: str | None, by: Actor) -> Redeemed:
        """Add what a code is worth, once. Raises ``ClientError``: the same one for every code that is worth nothing (now,
        to this account); or the key's own refusal."""
        return await self._writer.submit(Redeem(code_hash, account_id, key_id, by))

    async def check(self) -> list[Violation]:
        """The equations of the books, in one read transaction; empty when they are exact."""
        async with self._engine.reading() as connection:
            return await violations(connection)

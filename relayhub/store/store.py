"""The store: one database file, opened, brought up to date, and closed in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from relayhub.sdk.clock import Clock
from relayhub.store import refusals
from relayhub.store.accounts import Accounts
from relayhub.store.admin_keys import AdminKeys
from relayhub.store.attempts import Attempts
from relayhub.store.audit import AuditLog
from relayhub.store.codes import Codes
from relayhub.store.connection import LOCK_WAIT_S, connect, prepare_file, use_write_ahead_log
from relayhub.store.durability import Durability
from relayhub.store.engine import Engine
from relayhub.store.epoch import Epoch
from relayhub.store.epochs import LEASE_S, Epochs
from relayhub.store.ids import new_epoch_id
from relayhub.store.intents import Probe
from relayhub.store.invites import Invites
from relayhub.store.jobs import Jobs
from relayhub.store.kept_turns import KeptTurns
from relayhub.store.keys import Keys
from relayhub.store.ledger import Ledger, SettledListeners
from relayhub.store.ledger_report import LedgerReport
from relayhub.store.migrate import migrate
from relayhub.store.named_calls import NamedCalls
from relayhub.store.people import People
from relayhub.store.process import ProcessIdentity
from relayhub.store.sealed import holds_sealed
from relayhub.store.sessions import Sessions
from relayhub.store.steps import no_step
from relayhub.store.syncing import Syncing
from relayhub.store.tickets import Tickets
from relayhub.store.turnstile import Turnstile
from relayhub.store.usage import UsageReport
from relayhub.store.usage_rollups import UsageRollups
from relayhub.store.vault import Vault
from relayhub.store.windows import UTC_CALENDAR, Calendar
from relayhub.store.writer import Writer
from relayhub.types.errors import HubError

PING_S = 2.0
"""A store that does not answer within this is reported as failing (L15)."""


class Store:
    """Everything that is kept. Build with :meth:`open`, on the loop that will use it."""

    def __init__(
        self,
        engine: Engine,
        writer: Writer,
        listeners: SettledListeners,
        vault: Vault,
        epoch: Epoch,
        clock: Clock,
        turns: Turnstile,
    ) -> None:
        self._engine = engine
        self._turns = turns
        self._writer = writer
        self.ledger = Ledger(writer, engine, listeners)
        self.accounts = Accounts(engine, clock)
        self.keys = Keys(engine, clock)
        self.usage = UsageReport(engine)
        self.usage_rollups = UsageRollups(engine)
        self.ledger_report = LedgerReport(engine)
        self.people = People(engine, clock)
        self.sessions = Sessions(engine, clock)
        self.invites = Invites(engine, clock)
        self.admin_keys = AdminKeys(engine, clock)
        self.codes = Codes(engine, clock)
        self.attempts = Attempts(engine, clock)
        self.audit = AuditLog(engine)
        self.epochs = Epochs(writer, epoch.lease_s)
        self.kept_turns = KeptTurns(engine, vault)
        self.tickets = Tickets(engine, vault, epoch)
        self.named_calls = NamedCalls(engine, vault, epoch)
        self.jobs = Jobs(writer, engine, vault, epoch)
        self.vault = vault

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        durability: str = Durability.POWER,
        clock: Clock,
        lease_s: float = LEASE_S,
        lock_wait_s: float = LOCK_WAIT_S,
        on_step: Callable[[str], None] = no_step,
        calendar: Calendar = UTC_CALENDAR,
    ) -> Store:
        """Open or make the file, migrate it, and release what dead processes held. Raises ``StoreError`` if the file
        cannot be used, ``HubError`` if it is locked for too long."""
        vault = await asyncio.to_thread(_prepare, path, clock.now())
        epoch = Epoch(new_epoch_id(), ProcessIdentity.current(), lease_s)
        listeners, turns = SettledListeners(), Turnstile(path)
        writer = Writer(
            lambda: connect(path),
            Syncing(f"{path}-wal", Durability(durability)),
            epoch,
            clock,
            on_records=listeners.tell,
            on_step=on_step,
            lock_wait_s=lock_wait_s,
            turns=turns,
            calendar=calendar,
        )
        store = cls(Engine(path), writer, listeners, vault, epoch, clock, turns)
        try:
            await store.epochs.release_orphans()
        except BaseException:
            await store.close()
            raise
        return store

    async def ping(self) -> None:
        """Prove within :data:`PING_S` that the store can be read and a write transaction begun; calls that have just done so
        are proof enough. Raises ``HubError``."""
        if self._writer.just_committed:
            return
        try:
            async with asyncio.timeout(PING_S):
                await self._writer.submit(Probe(write=self._writer.failing is not None))
                await self.keys.revision()
        except TimeoutError as error:
            raise refusals.unavailable("the store did not answer in time") from error

    async def close(self) -> None:
        """Write what is queued, leave the epoch, and close. Idempotent."""
        try:
            async with asyncio.timeout(PING_S):
                await self.epochs.end()
        except (TimeoutError, HubError):
            pass  # its lease runs out, and whoever starts next cleans up
        await self._writer.close()
        self._turns.close()
        await self._engine.close()


def _prepare(path: Path, now: float) -> Vault:
    prepare_file(path)
    use_write_ahead_log(path)
    migrate(path, now)
    return Vault.beside(path, lambda: holds_sealed(path, now))

"""Whatever order things come in, and wherever the process dies: after each step the books are exact, nobody is overdrawn, and
everything is as a simple model says. ``RELAYHUB_TEST_EXAMPLES=2000`` tries that many histories."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from relayhub.accounts.code_text import hash_code
from relayhub.accounts.codes import issue_codes
from relayhub.accounts.issuing import issue_key, rotate_key
from relayhub.store.audit import SYSTEM
from relayhub.store.codes import NewBatch
from relayhub.store.intents import NewHold, OpenHold
from relayhub.store.steps import STEPS
from relayhub.store.store import Store
from relayhub.testing import FakeClock
from relayhub.types.errors import ClientError
from relayhub.types.key_limits import KeyLimits
from tests.store.books_model import AccountModel, BooksModel, CodeModel, KeyModel
from tests.store.long_form import empty_database, machine_settings, timeout_s
from tests.store.mortal import THREAD_DIES, Died, Mortal
from tests.store.watch import Watch
from tests.support.books import ABOUT, record
from tests.support.limited import OPEN, a_job

T = TypeVar("T")

amounts = st.integers(0, 400)
costs = st.integers(0, 800)
which = st.integers(0, 50)
maybe = st.none() | st.integers(1, 3)

LOST = -1
"""A hold whose number nobody was told."""


class Books(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "books.db"
        empty_database(self.path)
        self.loop = asyncio.new_event_loop()
        self.model = BooksModel()
        self.mortal = Mortal(self.path, FakeClock())
        self.watch: Watch | None = None
        self.calls = 0
        self.ended: list[int] = []
        self.jobs: dict[int, str] = {}
        """By their holds."""

    def run(self, work: Awaitable[T]) -> T:
        return self.loop.run_until_complete(asyncio.ensure_future(work, loop=self.loop))

    @property
    def store(self) -> Store:
        return self.mortal.store

    def do(self, work: Callable[[], Awaitable[T]], *, refusal: str | None, answer: T, then: Callable[[], None]) -> None:
        """``refusal``: the code that it should be refused with; otherwise ``answer`` is what should come of it, and ``then``
        what the model makes of it. Both also happen when the process dies after it had become durable."""

        async def attempt() -> T | Died | str:
            try:
                return await self.mortal.attempt(work())
            except ClientError as error:
                return error.code

        found = self.run(attempt())
        if isinstance(found, Died):
            if found.durable and refusal is None:
                then()
            self.come_back()
            return
        assert found == (answer if refusal is None else refusal)
        if refusal is None:
            then()

    def come_back(self) -> None:
        """The next process, which finds what the last one left."""
        self.model.die()
        self.run(self.mortal.open())

    # --- who there is -------------------------------------------------------------------------------------------------

    @initialize(grant=st.integers(0, 2000))
    def begin(self, grant: int) -> None:
        """Two accounts, of which one gives its keys whatever they need."""
        self.run(self.mortal.open())
        self.watch = Watch.of(self.path)
        for name in ("acme", "endless"):
            account = self.run(self.store.accounts.create(name, unlimited=name == "endless")).id
            self.model.accounts[account] = AccountModel(unlimited=name == "endless")
        self.acme, self.endless = self.model.accounts
        for endless, limit in ((False, None), (False, 500), (True, None)):
            self.issue(endless, limit, None, None)
        self.issue_code(100, 2)
        if grant:
            self.grant(False, grant)

    def key(self, which: int) -> str:
        """One that was revoked is asked for less often."""
        good = [key for key, one in self.model.keys.items() if not one.revoked]
        keys = [*good, *good, *self.model.keys]
        return keys[which % len(keys)]

    @rule(endless=st.booleans(), limit=st.none() | st.integers(1, 1500), calls=maybe, jobs=maybe)
    def issue(self, endless: bool, limit: int | None, calls: int | None, jobs: int | None) -> None:
        account, limits = self.endless if endless else self.acme, KeyLimits(concurrent_calls=calls, jobs_in_flight=jobs)
        name = f"key {len(self.model.keys)}"
        issued = self.run(issue_key(self.store.keys, name, account, limit_nano=limit, limits=limits))
        self.model.keys[issued.key.id] = KeyModel(account, limit, calls, jobs)

    @rule(which=which, what=st.sampled_from(["revoke", "disable", "enable", "rotate"]))
    def change_key(self, which: int, what: str) -> None:
        """Money stays where it is."""
        key, keys = self.key(which), self.store.keys
        one = self.model.keys[key]
        if what == "revoke":
            self.run(keys.revoke(key))
            one.revoked = True
        elif what == "rotate" and not one.revoked:
            rotated = self.run(rotate_key(keys, key, self.mortal.clock.now() + 60)).key
            assert (rotated.used_nano, rotated.held_nano) == (one.used, self.model.held_on(key))
        elif not one.revoked:
            self.run((keys.enable if what == "enable" else keys.disable)(key))
            one.disabled = what == "disable"

    # --- calls and jobs -----------------------------------------------------------------------------------------------

    def new(self, key: str, amount: int) -> NewHold:
        self.calls += 1
        return NewHold(f"req_{self.calls}", key, self.model.keys[key].account, amount, ABOUT)

    @rule(which=which, amount=amounts)
    def hold(self, which: int, amount: int) -> None:
        key = self.key(which)
        new = self.new(key, amount)
        granted: list[int] = []

        async def ask() -> str:
            granted.append(await self.store.ledger.hold(new))
            return "granted"

        def then() -> None:
            if granted:  # whoever died before the answer came is nobody's call any more
                self.model.hold(granted[0], key, amount, job=False)
            else:
                self.model.hold(LOST, key, amount, job=False)

        self.do(ask, refusal=self.model.refusal(key, amount, job=False), answer="granted", then=then)

    @rule(which=which, amount=amounts)
    def open_job(self, which: int, amount: int) -> None:
        key = self.key(which)
        new = self.new(key, amount)
        opening = OpenHold(new, msgspec.json.encode(new.about).decode())
        job = a_job(new, self.mortal.clock.now())

        async def ask() -> str:
            return (await self.store.jobs.open(opening, job, b"{}")).job_id

        def then() -> None:
            held = "SELECT hold_id FROM jobs WHERE id = ?"  # whoever died before the answer came was not told
            (hold_id,) = self.watch.connection.execute(held, (job.id,)).fetchone()
            self.model.hold(hold_id, key, amount, job=True)
            self.jobs[hold_id] = job.id

        self.do(ask, refusal=self.model.refusal(key, amount, job=True), answer=job.id, then=then)

    @precondition(lambda self: self.model.holds)
    @rule(which=which, cost=costs)
    def settle(self, which: int, cost: int) -> None:
        hold_id = self.model.pick(which, lambda hold: not hold.job)
        if hold_id is not None:
            charged = self.model.charge(hold_id, cost)
            self.end_hold(hold_id, (charged, cost - charged, False), lambda: self.model.settle(hold_id, cost), cost)

    @precondition(lambda self: self.model.holds)
    @rule(which=which)
    def release(self, which: int) -> None:
        hold_id = self.model.pick(which, lambda hold: not hold.job)
        if hold_id is not None:
            self.end_hold(hold_id, (0, 0, False), lambda: self.model.release(hold_id), None)

    @precondition(lambda self: self.ended)
    @rule(which=which, cost=st.none() | costs)
    def end_again(self, which: int, cost: int | None) -> None:
        self.end_hold(self.ended[which % len(self.ended)], (0, 0, True), lambda: None, cost)

    def end_hold(self, hold_id: int, answer: tuple[int, int, bool], then: Callable[[], None], cost: int | None) -> None:
        async def ask() -> tuple[int, int, bool]:
            ledger = self.store.ledger
            ending = (
                ledger.release(hold_id, record()) if cost is None else ledger.settle(hold_id, record(cost_nano=cost))
            )
            done = await ending
            return done.charged_nano, done.shortfall_nano, done.ended_before

        def booked() -> None:
            then()
            self.ended.append(hold_id)

        self.do(ask, refusal=None, answer=answer, then=booked)

    @precondition(lambda self: self.model.holds)
    @rule(which=which, cost=costs, charge=st.booleans())
    def finish_job(self, which: int, cost: int, charge: bool) -> None:
        """Whoever is second changes nothing."""
        hold_id = self.model.pick(which, lambda hold: hold.job)
        if hold_id is None:
            return
        changes = {"state": "succeeded" if charge else "failed"}

        async def ask() -> list[bool]:
            job = await self.store.jobs.get(self.jobs[hold_id])
            assert job is not None
            one = record(cost_nano=cost)
            ends = [self.store.jobs.finish(job, OPEN, changes, one, charge=charge) for _ in range(2)]
            return list(await asyncio.gather(*ends))

        def then() -> None:
            if charge:
                self.model.settle(hold_id, cost)
            else:
                self.model.release(hold_id)
            self.ended.append(hold_id)

        self.do(ask, refusal=None, answer=[True, False], then=then)

    # --- money that comes in ------------------------------------------------------------------------------------------

    @rule(endless=st.booleans(), amount=st.integers(1, 500))
    def grant(self, endless: bool, amount: int) -> None:
        account = self.endless if endless else self.acme

        async def ask() -> int:
            return (await self.store.ledger.grant(account, amount, actor="t", reason="r")).total_nano

        total = self.model.accounts[account].total + amount
        self.do(ask, refusal=None, answer=total, then=lambda: self.model.change(account, amount))

    @rule(endless=st.booleans(), amount=st.integers(-500, 500))
    def adjust(self, endless: bool, amount: int) -> None:
        """A correction, or what an operator gives back."""
        account = self.endless if endless else self.acme

        async def ask() -> int:
            return (await self.store.ledger.adjust(account, amount, actor="t", reason="r")).remaining_nano

        refusal, left = self.model.change_refusal(account, amount), self.model.remaining(account) + amount
        self.do(ask, refusal=refusal, answer=left, then=lambda: self.model.change(account, amount))

    @rule(value=st.integers(1, 500), uses=st.integers(1, 2))
    def issue_code(self, value: int, uses: int) -> None:
        new = NewBatch("b", "B", value, uses, None)
        text = self.run(issue_codes(self.store.codes, new, 1, SYSTEM)).codes[0]
        self.model.codes[text] = CodeModel(value, uses)

    @rule(which_code=which, which=which, again=st.booleans())
    def redeem(self, which_code: int, which: int, again: bool) -> None:
        codes = [*self.model.codes]
        for _ in range(1 + again):
            self.redeem_once(codes[which_code % len(codes)], self.key(which))

    def redeem_once(self, code: str, key: str) -> None:
        account = self.model.keys[key].account

        async def ask() -> int:
            done = await self.store.ledger.redeem(hash_code(code) or "", account, key_id=key, by=SYSTEM)
            return done.added_nano

        refusal, value = self.model.redeem_refusal(code, key), self.model.codes[code].value
        self.do(ask, refusal=refusal, answer=value, then=lambda: self.model.redeem(code, key))

    # --- what happens to the process ----------------------------------------------------------------------------------

    @rule(step=st.sampled_from(STEPS))
    def doom(self, step: str) -> None:
        """The next transaction is its last."""
        self.mortal.doom = step

    @rule(crash=st.booleans())
    def end(self, crash: bool) -> None:
        """Between two transactions, or in good order."""
        self.run(self.mortal.die() if crash else self.mortal.leave())
        self.come_back()

    @rule()
    def roll_up(self) -> None:
        self.run(self.store.usage_rollups.roll_up())

    # --- what holds after every step ----------------------------------------------------------------------------------

    @invariant()
    def exact(self) -> None:
        if self.watch is None:
            return
        assert self.run(self.store.ledger.check()) == []
        self.watch.look()
        assert self.watch.wrong == []

    @invariant()
    def as_the_model_says(self) -> None:
        for account, expected in self.model.accounts.items():
            balance = self.run(self.store.accounts.get(account)).balance
            held = self.model.held_by(account)
            assert (balance.total_nano, balance.used_nano, balance.held_nano) == (expected.total, expected.used, held)
            assert balance.remaining_nano == self.model.remaining(account) >= 0
        for key, one in self.model.keys.items():
            found = self.run(self.store.keys.get(key))
            assert (found.used_nano, found.held_nano) == (one.used, self.model.held_on(key))

    @invariant()
    def lost_calls_are_told(self) -> None:
        """Each call that a dead process had begun is in the usage, and cost nothing."""
        if self.watch is not None:
            lost = "SELECT count(*), coalesce(sum(cost_nano), 0) FROM usage WHERE outcome = 'lost'"
            assert self.watch.connection.execute(lost).fetchone() == (self.model.orphaned, 0)

    def teardown(self) -> None:
        if self.watch is not None:
            self.watch.close()
            self.run(self.mortal.leave())
        self.loop.close()
        self.folder.cleanup()


TestBooks = pytest.mark.timeout(timeout_s(300))(pytest.mark.filterwarnings(THREAD_DIES)(Books.TestCase))
TestBooks.settings = machine_settings(examples=20, steps=40)

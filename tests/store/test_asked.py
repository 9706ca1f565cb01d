"""Whoever asks the writer without waiting hears of it once, later, and what they give up meanwhile is held for nobody."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from msgspec import structs
from structlog.testing import capture_logs

from relayhub.accounts.admission import Admission, Asked
from relayhub.store.intents import NewHold, Settled
from relayhub.store.ledger import KEPT_TEXTS
from relayhub.testing import FakeClock
from relayhub.types import limits
from relayhub.types.call import Principal
from relayhub.types.errors import ErrorKind, HubError
from tests.support.books import ABOUT, Books, open_books, record
from tests.support.inner_hub import Gate, until

AMOUNT = 400


@dataclass
class Desk:
    """Where it is asked. ``gate``: before a step of the writer."""

    books: Books
    gate: Gate
    path: Path

    def __post_init__(self) -> None:
        self.heard: list[object] = []
        self.ends: list[object] = []
        self._admission = Admission(self.books.store.ledger, FakeClock())

    def ask(self, amount: int = AMOUNT) -> Asked:
        key = self.books.issued.key
        asker = Principal(key.id, key.name, self.books.account_id)
        return self._admission.ask(asker, amount, "req_1", ABOUT, 0, self.heard.append)

    async def until_heard(self, number: int) -> None:
        await until(lambda: len(self.heard) == number, lambda: str(self.heard))

    async def held_up(self) -> None:
        """The writer stands at the gate with all that was asked so far."""
        await until(lambda: self.gate.reached)

    async def is_written(self) -> None:
        """All that was asked so far, and what came of it."""
        ledger = self.books.store.ledger
        for _ in range(2):
            assert (await ledger.release("none", None)).ended_before

    def rows(self) -> list[str]:
        """The kinds of the ledger's rows, but for the grant."""
        with closing(sqlite3.connect(self.path)) as books:
            return [kind for (kind,) in books.execute("SELECT kind FROM ledger ORDER BY rowid")][1:]


@asynccontextmanager
async def desk(folder: Path) -> AsyncIterator[Desk]:
    gate = Gate()
    async with open_books(folder / "b.db", on_step=gate) as books:
        try:
            yield Desk(books, gate, folder / "b.db")
        finally:
            gate.open()


def unavailable(answer: object) -> bool:
    return isinstance(answer, HubError) and answer.kind is ErrorKind.UNAVAILABLE


def deaf(_: object) -> None:
    raise RuntimeError("of no use")


async def test_what_is_granted_is_heard_later_and_ends_as_it_is_told(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        asked = at.ask()
        assert at.heard == []
        await until(lambda: at.heard == [None], lambda: str(at.heard))
        assert await asked.settle(record(cost_nano=150)) == Settled(150, 0)
        assert at.rows() == ["hold", "settlement"]


async def test_a_closed_writer_says_so_later(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        await at.books.store.close()
        at.ask()
        at.books.store.ledger.end("none", record(), at.ends.append)
        assert (at.heard, at.ends) == ([], [])
        await until(lambda: len(at.heard + at.ends) == 2)
        assert unavailable(at.heard[0])
        assert unavailable(at.ends[0])
        assert at.rows() == []


async def test_a_full_queue_says_so_later_and_takes_whatever_ends_a_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with desk(tmp_path) as at:
        hold = await at.books.hold(AMOUNT)
        monkeypatch.setattr(limits, "MAX_PENDING_LEDGER_ITEMS", 2)
        at.gate.close()
        at.ask(1)
        await at.held_up()
        for _ in range(3):
            at.ask(1)
        assert at.heard == []
        await at.until_heard(1)
        assert unavailable(at.heard[0])
        at.books.store.ledger.end(hold, record(cost_nano=100), at.ends.append)
        at.gate.open()
        await at.until_heard(4)
        assert at.heard[1:] == [None] * 3
        await until(lambda: at.ends == [Settled(100, 0)], lambda: str(at.ends))
        assert await at.books.money() == (1000, 100, 3)
        assert await at.books.store.ledger.check() == []


async def test_one_that_cannot_hear_keeps_no_other_from_hearing(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        ledger, new = at.books.store.ledger, at.books.new_hold(1)
        at.gate.close()
        at.ask(1)
        await at.held_up()
        with capture_logs() as logs:
            ledger.ask(new, deaf)
            at.ask(1)
            ledger.ask(new, deaf)
            at.ask(1)
            at.gate.open()
            await until(lambda: at.heard == [None] * 3, lambda: str(at.heard))
        assert [entry["event"] for entry in logs] == ["ledger.unheard"] * 2
        assert await ledger.check() == []


async def test_one_that_cannot_hear_a_refusal_keeps_no_other_from_hearing(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        await at.books.store.close()
        complaints: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context["exception"]))
        with capture_logs() as logs:
            at.books.store.ledger.ask(at.books.new_hold(1), deaf)
            at.ask(1)
            await at.until_heard(1)
        assert unavailable(at.heard[0])
        assert len(complaints) + len(logs) == 1  # somebody is told


@pytest.mark.parametrize("step", ["before_begin", "after_load"])
@pytest.mark.parametrize("ahead", [0, 1])
async def test_what_is_given_up_before_it_is_written_is_never_held(tmp_path: Path, step: str, ahead: int) -> None:
    async with desk(tmp_path) as at:
        at.gate.close(step)
        for _ in range(ahead):
            at.ask(1)
            await at.held_up()  # what comes now stays in the queue
        asked = at.ask()
        await at.held_up()
        asked.give_up()
        at.gate.open()
        await at.is_written()
        assert (at.heard, at.rows()) == ([None] * ahead, ["hold"] * ahead)
        assert await at.books.money() == (1000, 0, ahead)
        assert await at.books.store.ledger.check() == []


@pytest.mark.parametrize("step", ["after_decide", "before_commit", "after_commit", "before_acknowledge"])
async def test_what_is_given_up_before_it_is_heard_is_given_back_once(tmp_path: Path, step: str) -> None:
    async with desk(tmp_path) as at:
        at.gate.close(step)
        asked = at.ask()
        await at.held_up()
        asked.give_up()
        asked.give_up()
        at.gate.open()
        await until(lambda: at.rows() == ["hold", "release"], lambda: str(at.rows()))
        await at.is_written()
        assert (at.heard, at.rows()) == ([], ["hold", "release"])
        assert await at.books.money() == (1000, 0, 0)
        assert await at.books.store.ledger.check() == []


async def test_what_would_have_been_refused_and_is_given_up_is_nobodys(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        at.gate.close("after_decide")
        asked = at.ask(1001)
        await at.held_up()
        asked.give_up()
        at.gate.open()
        await at.is_written()
        assert (at.heard, at.rows()) == ([], [])
        assert await at.books.store.ledger.check() == []


async def test_users_push_no_text_out_that_will_be_asked_for_again(tmp_path: Path) -> None:
    """An account of a call with a user is written down anew each time; those of all other calls are a few."""
    async with desk(tmp_path) as at:
        ledger, key = at.books.store.ledger, at.books.issued.key
        steady = ledger.ask(NewHold("req_0", key.id, key.account_id, 0, ABOUT), at.heard.append).about_json
        for number in range(KEPT_TEXTS + 1):
            about = structs.replace(ABOUT, user_identifier=f"user-{number}")
            asked = ledger.ask(NewHold(f"req_{number}", key.id, key.account_id, 0, about), at.heard.append)
            assert f"user-{number}" in asked.about_json
        assert ledger.ask(NewHold("req_1", key.id, key.account_id, 0, ABOUT), at.heard.append).about_json is steady
        await at.until_heard(KEPT_TEXTS + 3)

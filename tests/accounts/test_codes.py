"""Codes as text, and where they are redeemed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from relayhub.accounts.code_text import ALPHABET, RANDOM_CHARS, code_hint, hash_code, new_code
from relayhub.accounts.codes import CodeDesk, IssuedCodes, issue_codes
from relayhub.accounts.throttle import REDEMPTIONS_BY_ACCOUNT, WINDOW_S, Throttle
from relayhub.store.audit import Actor, AuditFilter
from relayhub.store.codes import NewBatch
from relayhub.store.people_intents import Redeemed
from relayhub.testing import FakeClock
from relayhub.types.errors import ClientError, ErrorKind
from tests.support.books import Books, open_books

BY = Actor("test", "req_1", "192.0.2.1")


def desk_of(books: Books) -> CodeDesk:
    return CodeDesk(books.store.ledger, Throttle(books.store.attempts))


async def issued(
    books: Books, count: int = 1, *, value: int = 500, max_uses: int = 1, expires_at: float | None = None
) -> IssuedCodes:
    return await issue_codes(books.store.codes, NewBatch("spring", "REDEEM", value, max_uses, expires_at), count, BY)


async def redeem(books: Books, code: str, account_id: str | None = None) -> Redeemed:
    return await desk_of(books).redeem(code, account_id or books.account_id, key_id=None, by=BY)


async def refusal(books: Books, code: str, account_id: str | None = None) -> tuple[ErrorKind, str, str]:
    with pytest.raises(ClientError) as caught:
        await redeem(books, code, account_id)
    return caught.value.kind, caught.value.code, caught.value.message


def test_a_code_has_at_least_128_random_bits() -> None:
    assert len(ALPHABET) ** RANDOM_CHARS >= 2**128
    assert len({new_code("A") for _ in range(100)}) == 100


@pytest.mark.parametrize("spoil", [str.lower, lambda c: c.replace("-", " "), lambda c: f"  {c}\n"])
def test_how_a_code_is_typed_does_not_matter(spoil: object) -> None:
    assert callable(spoil)
    code = new_code("REDEEM")
    assert hash_code(spoil(code)) == hash_code(code) is not None


def test_look_alikes_are_taken_for_what_they_look_like() -> None:
    code = "A-" + "-".join(["0110"] * 7)
    assert hash_code(code.replace("0", "O").replace("1", "l")) == hash_code(code)


@pytest.mark.parametrize("junk", ["", "-", "REDEEM", "REDEEM-XXXX-XXXX", "x" * 500, "REDEEM-" + "U" * 28, "é" * 30])
def test_junk_is_no_code(junk: str) -> None:
    assert hash_code(junk) is None


def test_a_hint_does_not_give_a_code_away() -> None:
    code = new_code("GIFT")
    assert code_hint(code) == f"GIFT-…-{code[-4:]}"


async def test_a_code_adds_its_value_once_and_is_in_the_books(tmp_path: Path) -> None:
    async with open_books(tmp_path / "books.db", total=1000) as books:
        made = await issued(books)
        done = await redeem(books, made.codes[0])
        assert (done.added_nano, done.balance.total_nano) == (500, 1500)
        assert (await refusal(books, made.codes[0]))[1] == "invalid_code"
        assert await books.money() == (1500, 0, 0)
        assert await books.store.ledger.check() == []
        assert (await books.store.codes.get(made.batch.id)).used == 1


async def test_one_code_at_once_a_hundred_times_pays_once(tmp_path: Path) -> None:
    async with open_books(tmp_path / "books.db", total=1000) as books:
        made = await issued(books)
        code_hash = hash_code(made.codes[0])
        assert code_hash is not None
        ledger = books.store.ledger
        accounts = [await books.store.accounts.create(f"a{n}") for n in range(10)]
        answers = await asyncio.gather(
            *(ledger.redeem(code_hash, accounts[n % 10].id, key_id=None, by=BY) for n in range(100)),
            return_exceptions=True,
        )
        assert sum(isinstance(answer, Redeemed) for answer in answers) == 1
        assert {answer.code for answer in answers if isinstance(answer, ClientError)} == {"invalid_code"}
        assert sum(account.balance.total_nano for account in await books.store.accounts.all()) == 1500
        assert await ledger.check() == []


async def test_a_code_for_many_pays_each_account_once_and_no_more_than_its_uses(tmp_path: Path) -> None:
    async with open_books(tmp_path / "books.db", total=0) as books:
        code = (await issued(books, max_uses=2)).codes[0]
        others = [(await books.store.accounts.create(f"a{n}")).id for n in range(3)]
        await redeem(books, code, others[0])
        assert (await refusal(books, code, others[0]))[1] == "invalid_code"
        await redeem(books, code, others[1])
        assert (await refusal(books, code, others[2]))[1] == "invalid_code"
        assert [(row.uses_left) for row in await books.store.codes.of((await _batch(books)), None, 10)] == [0]


async def _batch(books: Books) -> str:
    return (await books.store.codes.page(None, 10))[0].id


async def test_used_expired_void_and_unknown_codes_get_the_same_answer(tmp_path: Path) -> None:
    clock = FakeClock()
    async with open_books(tmp_path / "books.db", clock=clock) as books:
        used, void, late = [await issued(books, expires_at=clock.now() + 60) for _ in range(3)]
        await redeem(books, used.codes[0])
        await books.store.codes.void(void.batch.id, BY)
        answers = [await refusal(books, code) for code in (used.codes[0], void.codes[0], new_code("REDEEM"), "junk")]
        clock.advance(60)
        answers.append(await refusal(books, late.codes[0]))
        assert len(set(answers)) == 1
        assert await books.money() == (1500, 0, 0)


async def test_a_revoked_key_redeems_nothing(tmp_path: Path) -> None:
    async with open_books(tmp_path / "books.db") as books:
        code = (await issued(books)).codes[0]
        await books.store.keys.revoke(books.issued.key.id)
        with pytest.raises(ClientError, match="revoked"):
            await desk_of(books).redeem(code, books.account_id, key_id=books.issued.key.id, by=BY)
        assert await books.money() == (1000, 0, 0)


async def test_guessing_is_slowed_down_and_success_is_not_a_guess(tmp_path: Path) -> None:
    clock = FakeClock()
    async with open_books(tmp_path / "books.db", clock=clock) as books:
        good = await issued(books, REDEMPTIONS_BY_ACCOUNT + 2)
        for code in good.codes[:-1]:
            await redeem(books, code)
        for _ in range(REDEMPTIONS_BY_ACCOUNT):
            assert (await refusal(books, "wrong"))[0] is ErrorKind.INVALID_REQUEST
        assert (await refusal(books, good.codes[-1]))[0] is ErrorKind.RATE_LIMITED
        clock.advance(WINDOW_S)
        await redeem(books, good.codes[-1])


async def test_many_guesses_at_once_are_counted_too(tmp_path: Path) -> None:
    async with open_books(tmp_path / "books.db") as books:
        tried = await asyncio.gather(
            *(desk_of(books).redeem("x", books.account_id, key_id=None, by=BY) for _ in range(60)),
            return_exceptions=True,
        )
        kinds = [error.kind for error in tried if isinstance(error, ClientError)]
        assert kinds.count(ErrorKind.INVALID_REQUEST) == REDEMPTIONS_BY_ACCOUNT
        assert kinds.count(ErrorKind.RATE_LIMITED) == 60 - REDEMPTIONS_BY_ACCOUNT


async def test_no_code_is_in_the_database(tmp_path: Path) -> None:
    path = tmp_path / "books.db"
    async with open_books(path) as books:
        made = await issued(books, 3)
        await redeem(books, made.codes[0])
        assert [row.action for row in await books.store.audit.rows(AuditFilter(subject=made.batch.id), 9)] == [
            "code_batch.create"
        ]
    content = b"".join(file.read_bytes() for file in tmp_path.glob("books.db*"))
    for code in made.codes:
        assert code.encode() not in content
        assert code.partition("-")[2].replace("-", "").encode() not in content

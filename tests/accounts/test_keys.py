"""Keys: made from enough chance, kept as a hash, known within a moment."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from relayhub.accounts.admission import Admission
from relayhub.accounts.issuing import issue_key, replace_key
from relayhub.accounts.keyring import REFRESH_S, KeyRing
from relayhub.accounts.secret import hash_secret, hint, new_secret, well_formed
from relayhub.store.engine import Engine
from relayhub.store.glance import Glance
from relayhub.testing import FakeClock
from relayhub.types.call import Principal
from relayhub.types.errors import ClientError, ErrorKind
from tests.support.books import ABOUT, open_books, record


def test_keys_look_like_keys_and_differ() -> None:
    made = {new_secret() for _ in range(200)}
    assert len(made) == 200
    for secret in made:
        assert secret.startswith("sk_live_")
        assert len(secret) == len("sk_live_") + 38
        assert secret.isascii()
        assert well_formed(secret)


def test_a_changed_character_is_seen_without_a_look_up() -> None:
    secret = new_secret()
    for index in range(len("sk_live_"), len(secret)):
        other = "A" if secret[index] != "A" else "B"
        assert not well_formed(secret[:index] + other + secret[index + 1 :])
    for junk in ("", "sk_live_", secret + "x", secret[:-1], " " + secret, secret.upper(), "sk_live_" + "é" * 38):
        assert not well_formed(junk)


def test_a_hint_is_not_enough_to_use_a_key() -> None:
    secret = new_secret()
    assert hint(secret) == f"sk_live_…{secret[-4:]}"
    assert secret not in hash_secret(secret)


async def test_the_ring_knows_new_and_revoked_keys_after_a_refresh(tmp_path: Path) -> None:
    async with open_books(tmp_path / "b.db") as books:
        ring = KeyRing(books.store.keys)
        await ring.refresh()
        assert ring.authenticate(books.issued.secret, 0) == Principal(books.issued.key.id, "key", books.account_id)
        second = await issue_key(books.store.keys, "second", books.account_id, models=frozenset({"m"}), expires_at=50)
        with pytest.raises(ClientError) as caught:
            ring.authenticate(second.secret, 0)
        assert caught.value.code == "invalid_api_key"
        await ring.refresh()
        assert ring.authenticate(second.secret, 49).models == {"m"}
        with pytest.raises(ClientError) as caught:
            ring.authenticate(second.secret, 50)
        assert caught.value.code == "key_expired"
        await books.store.keys.revoke("key")
        await ring.refresh()
        with pytest.raises(ClientError) as caught:
            ring.authenticate(books.issued.secret, 0)
        assert (caught.value.kind, caught.value.code) == (ErrorKind.KEY_BLOCKED, "key_revoked")


async def test_the_ring_refreshes_itself_twice_a_second(tmp_path: Path) -> None:
    async with open_books(tmp_path / "b.db") as books:
        ring, clock = KeyRing(books.store.keys), FakeClock()
        task = asyncio.create_task(ring.run(clock))
        async with asyncio.timeout(5):
            while True:
                try:
                    ring.authenticate(books.issued.secret, 0)
                    break
                except ClientError:
                    await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert set(clock.slept) == {REFRESH_S}
        assert REFRESH_S <= 0.5


async def test_a_name_is_free_again_after_its_key_was_revoked(tmp_path: Path) -> None:
    async with open_books(tmp_path / "b.db") as books:
        with pytest.raises(ClientError) as caught:
            await issue_key(books.store.keys, "key", books.account_id)
        assert caught.value.kind is ErrorKind.CONFLICT
        fresh = await replace_key(books.store.keys, "key", books.account_id)
        states = [(key.name, key.revoked_at is None) for key in await books.store.keys.all()]
        assert states == [("key", False), ("key", True)]
        assert fresh.secret != books.issued.secret


async def test_an_admission_that_is_left_unsettled_gives_the_hold_back(tmp_path: Path) -> None:
    async with open_books(tmp_path / "b.db") as books:
        admission, who = (
            Admission(books.store.ledger, FakeClock()),
            Principal(books.issued.key.id, "key", books.account_id),
        )
        async with admission.admit(who, 400, "req_1", ABOUT):
            assert await books.money() == (1000, 0, 400)
        assert await books.money() == (1000, 0, 0)


async def test_a_cancelled_caller_cancels_no_settlement(tmp_path: Path) -> None:
    async with open_books(tmp_path / "b.db") as books:
        admission, who = (
            Admission(books.store.ledger, FakeClock()),
            Principal(books.issued.key.id, "key", books.account_id),
        )
        async with admission.admit(who, 400, "req_1", ABOUT) as reservation:
            settling = asyncio.create_task(reservation.settle(record(cost_nano=150)))
            await asyncio.sleep(0)
            settling.cancel()
            with pytest.raises(asyncio.CancelledError):
                await settling
        async with asyncio.timeout(5):
            while (await books.money())[2]:
                await asyncio.sleep(0)
        assert await books.money() == (1000, 150, 0)


async def test_a_ring_that_knows_all_keys_asks_nothing_of_the_pool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    async with open_books(tmp_path / "b.db") as books:
        ring = KeyRing(books.store.keys)
        await ring.refresh()
        monkeypatch.setattr(Engine, "reading", lambda _self: asked.append(1))
        for _ in range(3):
            await ring.refresh()
        monkeypatch.undo()
    assert asked == []


async def test_a_ring_that_cannot_look_at_once_takes_the_long_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_books(tmp_path / "b.db") as books:
        ring = KeyRing(books.store.keys)
        await ring.refresh()
        monkeypatch.setattr(Glance, "number", lambda *_: None)
        await books.store.keys.revoke("key")
        await ring.refresh()
        with pytest.raises(ClientError) as caught:
            ring.authenticate(books.issued.secret, 0)
        assert caught.value.code == "key_revoked"

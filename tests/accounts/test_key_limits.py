"""What is checked before the ledger: blocked and rotated keys, networks, and minutes that are known to be full."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from relayhub.accounts.admission import Admission
from relayhub.accounts.issuing import issue_key, rotate_key
from relayhub.accounts.keyring import KeyRing
from relayhub.store.audit import SYSTEM
from relayhub.store.intents import NewHold
from relayhub.store.keys import KeyTerms
from relayhub.store.ledger import Ledger
from relayhub.testing import FakeClock
from relayhub.types.call import Principal
from relayhub.types.errors import ClientError, ErrorKind
from relayhub.types.key_limits import KeyLimits, lies_within, parse_networks
from tests.support.books import ABOUT, Books, open_books

NOW = 1_790_000_040.0


@asynccontextmanager
async def ringing(path: Path) -> AsyncIterator[tuple[Books, KeyRing]]:
    async with open_books(path / "b.db", clock=FakeClock(NOW)) as books:
        ring = KeyRing(books.store.keys)
        await ring.refresh()
        yield books, ring


def refused(ring: KeyRing, secret: str, now: float = NOW) -> tuple[ErrorKind, str]:
    with pytest.raises(ClientError) as caught:
        ring.authenticate(secret, now)
    return caught.value.kind, caught.value.code


async def test_a_disabled_key_is_refused_and_an_enabled_one_is_not(tmp_path: Path) -> None:
    async with ringing(tmp_path) as (books, ring):
        keys, secret = books.store.keys, books.issued.secret
        await keys.disable("key")
        await ring.refresh()
        assert refused(ring, secret) == (ErrorKind.KEY_BLOCKED, "key_disabled")
        with pytest.raises(ClientError):
            ring.holder(books.issued.key.id, NOW)
        await keys.enable("key")
        await ring.refresh()
        assert ring.authenticate(secret, NOW).key_id == books.issued.key.id


async def test_both_secrets_are_good_until_the_overlap_is_over(tmp_path: Path) -> None:
    async with ringing(tmp_path) as (books, ring):
        old = books.issued.secret
        fresh = await rotate_key(books.store.keys, "key", NOW + 60)
        await ring.refresh()
        assert fresh.key.id == books.issued.key.id
        assert ring.authenticate(old, NOW + 59.9) == ring.authenticate(fresh.secret, NOW + 59.9)
        assert refused(ring, old, NOW + 60) == (ErrorKind.AUTHENTICATION, "key_rotated")
        assert ring.authenticate(fresh.secret, NOW + 10**6).key_id == fresh.key.id


async def test_rotating_again_ends_the_secret_before_the_last_at_once(tmp_path: Path) -> None:
    async with ringing(tmp_path) as (books, ring):
        second = await rotate_key(books.store.keys, "key", NOW + 60)
        await ring.refresh()
        third = await rotate_key(books.store.keys, "key", NOW + 60)
        for known in (ring, KeyRing(books.store.keys)):
            await known.refresh()
            assert refused(known, books.issued.secret) == (ErrorKind.AUTHENTICATION, "invalid_api_key")
            assert known.authenticate(second.secret, NOW) == known.authenticate(third.secret, NOW)


async def test_a_revoked_key_is_revoked_with_all_its_secrets_and_cannot_be_rotated(tmp_path: Path) -> None:
    async with ringing(tmp_path) as (books, ring):
        fresh = await rotate_key(books.store.keys, "key", NOW + 60)
        await books.store.keys.revoke("key")
        await ring.refresh()
        for secret in (books.issued.secret, fresh.secret):
            assert refused(ring, secret) == (ErrorKind.KEY_BLOCKED, "key_revoked")
        for change in (books.store.keys.disable, books.store.keys.enable):
            with pytest.raises(ClientError) as caught:
                await change(books.issued.key.id)
            assert caught.value.code == "key_revoked"
        with pytest.raises(ClientError) as caught:
            await rotate_key(books.store.keys, books.issued.key.id, NOW)
        assert caught.value.code == "key_revoked"


async def test_no_secret_is_in_the_audit_log_and_every_change_is(tmp_path: Path) -> None:
    from relayhub.store.audit import AuditFilter

    async with ringing(tmp_path) as (books, _):
        fresh = await rotate_key(books.store.keys, "key", NOW + 60)
        await books.store.keys.disable("key")
        await books.store.keys.disable("key")
        await books.store.keys.enable("key")
        rows = await books.store.audit.rows(AuditFilter(subject=fresh.key.id), 10)
        assert [row.action for row in rows] == ["key.enable", "key.disable", "key.rotate", "key.create"]
        assert rows[2].before is not None
        assert rows[2].after is not None
        assert rows[2].before["hash"] != rows[2].after["hash"]
        assert fresh.secret not in str(rows)
        assert await books.store.audit.first_broken() is None


async def test_whoever_listens_is_told_once_of_a_key_that_is_blocked(tmp_path: Path) -> None:
    async with ringing(tmp_path) as (books, ring):
        told: list[tuple[str, str]] = []
        ring.on_blocked(lambda key_id, error: told.append((key_id, error.code)))
        other = await issue_key(books.store.keys, "other", books.account_id)
        await ring.refresh()
        assert told == []
        await books.store.keys.revoke("other")
        await books.store.keys.disable("key")
        await ring.refresh()
        await ring.refresh()
        assert sorted(told) == sorted([(other.key.id, "key_revoked"), (books.issued.key.id, "key_disabled")])


def test_an_address_lies_within_what_is_allowed() -> None:
    networks = parse_networks(["10.0.0.0/8", "192.168.1.7", "2001:db8::/32"])
    for address in ("10.1.2.3", "192.168.1.7", "::ffff:10.0.0.1", "2001:db8::1"):
        assert lies_within(address, networks), address
    for address in ("11.0.0.1", "192.168.1.8", "::ffff:11.0.0.1", "2001:db9::1", "", "unknown", "10.0.0.1:80"):
        assert not lies_within(address, networks), address


async def test_a_principal_knows_its_networks_and_providers(tmp_path: Path) -> None:
    async with ringing(tmp_path) as (books, ring):
        limits = KeyLimits(providers=("one",), networks=("10.0.0.0/8",))
        made = await issue_key(books.store.keys, "narrow", books.account_id, limits=limits)
        await ring.refresh()
        narrow, wide = ring.authenticate(made.secret, NOW), ring.authenticate(books.issued.secret, NOW)
        assert (narrow.may_call_from("10.9.9.9"), narrow.may_call_from("9.9.9.9")) == (True, False)
        assert [narrow.may_reach(*one) for one in (("one", "t"), ("x", "one"), ("x", "y"))] == [True, True, False]
        assert wide.may_call_from("")
        assert wide.may_reach("x", "y")


class Counting(Ledger):
    """How often it was asked for a hold."""

    asked = 0

    def __init__(self, real: Ledger) -> None:
        self.real = real

    async def hold(self, new: NewHold) -> str:
        self.asked += 1
        return await self.real.hold(new)

    def release(self, hold_id, record):  # type: ignore[no-untyped-def]
        return self.real.release(hold_id, record)


async def test_a_minute_that_is_known_to_be_full_costs_no_transaction(tmp_path: Path) -> None:
    clock = FakeClock(NOW + 20)
    async with open_books(tmp_path / "b.db", clock=clock) as books:
        limits = KeyLimits(requests_per_minute=2)
        made = await issue_key(books.store.keys, "slow", books.account_id, limits=limits)
        ring, ledger = KeyRing(books.store.keys), Counting(books.store.ledger)
        await ring.refresh()
        admission = Admission(ledger, clock)

        async def outcome(who: Principal) -> str | tuple[str, float | None, dict[str, str]]:
            try:
                async with admission.admit(who, 1, "req", ABOUT):
                    return "ok"
            except ClientError as error:
                return error.code, error.retry_after_s, dict(error.headers)

        who = ring.authenticate(made.secret, NOW)
        assert [await outcome(who), await outcome(who)] == ["ok", "ok"]
        first = await outcome(who)
        assert (first[1], ledger.asked) == (40, 3)
        assert await outcome(who) == first, "the same words"
        assert ledger.asked == 3, "but nobody was asked"
        assert await outcome(ring.authenticate(books.issued.secret, NOW)) == "ok", "it is one key's own affair"

        terms = KeyTerms("slow", None, None, None, limits=KeyLimits(requests_per_minute=3))
        await books.store.keys.update(made.key.id, terms, SYSTEM)
        await ring.refresh()
        who = ring.authenticate(made.secret, NOW)
        assert await outcome(who) == "ok", "the limit was raised"
        assert (await outcome(who))[1] == 40
        clock.advance(40)
        assert await outcome(who) == "ok", "another minute"

"""Passwords, sessions and invites, on a real store with a clock that is turned by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from relayhub.accounts.passwords import MAX_WAITING, PasswordCost, Passwords, check_password
from relayhub.accounts.sign_in import SETUP_TTL_S, SessionTerms, SignedIn, SignIn, offer_setup, proves_csrf
from relayhub.accounts.throttle import SIGN_INS_BY_ADDRESS, SIGN_INS_BY_PAIR, WINDOW_S, Throttle
from relayhub.store.audit import Actor
from relayhub.store.people import PersonChanges
from relayhub.store.store import Store
from relayhub.testing import FakeClock
from relayhub.types.errors import ClientError, ErrorKind, HubError
from relayhub.types.role import Role

CHEAP = PasswordCost(rounds=1, memory_kib=8, lanes=1)
PASSWORD = "correct horse battery staple"
BY = Actor("test", "req_1", "192.0.2.7")
TTL_S, IDLE_S = 7 * 86400.0, 86400.0


@dataclass
class Door:
    store: Store
    clock: FakeClock
    passwords: Passwords
    sign_in: SignIn

    async def enter(self, name: str = "alice", password: str = PASSWORD, by: Actor = BY) -> SignedIn:
        return await self.sign_in.sign_in(name, password, by, "a browser")

    async def refused(self, name: str = "alice", password: str = "wrong wrong wrong", by: Actor = BY) -> ErrorKind:
        with pytest.raises(ClientError) as caught:
            await self.enter(name, password, by)
        return caught.value.kind


@asynccontextmanager
async def door(tmp_path: Path, *, registration_open: bool = False, invites: bool = False) -> AsyncIterator[Door]:
    clock = FakeClock()
    store = await Store.open(tmp_path / "hub.db", durability="process", clock=clock)
    passwords = Passwords(CHEAP)
    throttle = Throttle(store.attempts)
    terms = SessionTerms(TTL_S, IDLE_S)
    try:
        sign_in = SignIn(store, passwords, throttle, terms, registration_open=registration_open, invites=invites)
        yield Door(store, clock, passwords, sign_in)
    finally:
        await store.close()


async def test_a_password_is_kept_as_argon2id_and_matches_only_itself() -> None:
    passwords = Passwords(CHEAP)
    kept = await passwords.hash(PASSWORD)
    assert kept.startswith("$argon2id$")
    assert await passwords.matches(kept, PASSWORD)
    assert not await passwords.matches(kept, PASSWORD + " ")
    assert not await passwords.matches(None, PASSWORD)
    assert not await passwords.matches("not a hash", PASSWORD)
    assert await passwords.hash(PASSWORD) != kept


async def test_hashing_does_not_hold_the_loop_up() -> None:
    hashing = asyncio.ensure_future(Passwords().hash(PASSWORD))
    turns = 0
    while not hashing.done():
        await asyncio.wait({hashing}, timeout=0.001)
        turns += 1
    assert turns > 3


async def test_too_many_at_once_are_refused_and_the_rest_is_served() -> None:
    passwords = Passwords(CHEAP)
    answers = await asyncio.gather(*(passwords.hash(PASSWORD) for _ in range(MAX_WAITING + 5)), return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, HubError)]
    assert len(refused) == 5
    assert refused[0].retry_after_s
    assert await passwords.hash(PASSWORD)


async def test_whoever_leaves_makes_room() -> None:
    passwords = Passwords(CHEAP)
    leaving = [asyncio.ensure_future(passwords.hash(PASSWORD)) for _ in range(MAX_WAITING)]
    await asyncio.wait(leaving, timeout=0)
    for task in leaving:
        task.cancel()
    await asyncio.gather(*leaving, return_exceptions=True)
    assert await passwords.hash(PASSWORD)


@pytest.mark.parametrize("password", ["", "short", "alicealicealice", "a" * 20, "abab" * 5, "x" * 257])
def test_what_is_easily_guessed_is_no_password(password: str) -> None:
    with pytest.raises(ClientError, match="password"):
        check_password(password, "alice")


async def test_a_session_lasts_while_it_is_used_and_not_beyond_its_end(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        await at.sign_in.create("alice", PASSWORD, Role.VIEWER, None, BY)
        token = (await at.enter()).token
        for _ in range(8):
            at.clock.advance(IDLE_S * 0.8)
            assert await at.sign_in.who(token) is not None
        at.clock.advance(TTL_S - 8 * IDLE_S * 0.8)
        assert await at.sign_in.who(token) is None


async def test_a_session_that_is_not_used_ends(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        await at.sign_in.create("alice", PASSWORD, Role.VIEWER, None, BY)
        done = await at.enter()
        at.clock.advance(IDLE_S)
        assert await at.sign_in.who(done.token) is None
        assert await at.store.sessions.of(done.person.id, IDLE_S) == []


async def test_a_csrf_token_belongs_to_its_session(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        await at.sign_in.create("alice", PASSWORD, Role.VIEWER, None, BY)
        one, two = await at.enter(), await at.enter()
        assert proves_csrf(one.token, one.csrf)
        assert not proves_csrf(one.token, two.csrf)
        assert not proves_csrf(one.token, None)
        assert not proves_csrf(one.token, "é\udc80")


async def test_guessing_one_password_is_slowed_down_for_that_address_alone(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        await at.sign_in.create("alice", PASSWORD, Role.VIEWER, None, BY)
        for _ in range(SIGN_INS_BY_PAIR):
            assert await at.refused() is ErrorKind.AUTHENTICATION
        assert await at.refused(password=PASSWORD) is ErrorKind.RATE_LIMITED
        assert await at.enter(by=Actor("test", client="198.51.100.1"))
        at.clock.advance(WINDOW_S)
        assert await at.enter()


async def test_many_guesses_at_once_count_before_they_are_tried(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        await at.sign_in.create("alice", PASSWORD, Role.VIEWER, None, BY)
        kinds = await asyncio.gather(*(at.refused() for _ in range(SIGN_INS_BY_PAIR + 10)))
        assert kinds.count(ErrorKind.AUTHENTICATION) == SIGN_INS_BY_PAIR
        assert kinds.count(ErrorKind.RATE_LIMITED) == 10


async def test_one_ipv6_network_is_one_guesser(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        for n in range(SIGN_INS_BY_ADDRESS):
            assert await at.refused(f"name{n}", by=Actor("t", client=f"2001:db8::{n:x}")) is ErrorKind.AUTHENTICATION
        assert await at.refused("other", by=Actor("t", client="2001:db8::ffff")) is ErrorKind.RATE_LIMITED
        assert await at.refused("other", by=Actor("t", client="2001:db8:0:1::1")) is ErrorKind.AUTHENTICATION


async def test_a_password_of_yesterdays_cost_is_hashed_anew_at_sign_in(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        await at.sign_in.create("alice", PASSWORD, Role.VIEWER, None, BY)
        dearer = Passwords(PasswordCost(rounds=2, memory_kib=16))
        throttle = Throttle(at.store.attempts)
        terms = SessionTerms(TTL_S, IDLE_S)
        today = SignIn(at.store, dearer, throttle, terms, registration_open=False, invites=False)
        await today.sign_in("alice", PASSWORD, BY, None)
        found = await at.store.people.by_name("alice")
        assert found is not None
        assert "m=16,t=2" in found[1]
        assert await today.sign_in("alice", PASSWORD, BY, None)


async def test_the_setup_token_is_good_for_a_day_and_for_one_admin(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        late = await offer_setup(at.store)
        assert late is not None
        at.clock.advance(SETUP_TTL_S)
        with pytest.raises(ClientError, match="not valid"):
            await at.sign_in.set_up(late, "root", PASSWORD, BY, None)
        tokens = [await offer_setup(at.store) for _ in range(2)]
        answers = await asyncio.gather(
            *(at.sign_in.set_up(token or "", f"root{n}", PASSWORD, BY, None) for n, token in enumerate(tokens)),
            return_exceptions=True,
        )
        assert sum(isinstance(answer, SignedIn) for answer in answers) == 1
        assert await offer_setup(at.store) is None


async def test_registration_is_closed_unless_the_config_says_otherwise(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        invite = await at.sign_in.invite(Role.VIEWER, None, 60, BY)
        for token in (None, invite.token):
            with pytest.raises(ClientError) as caught:
                await at.sign_in.register("bob", PASSWORD, token, BY, None)
            assert caught.value.code == "registration_closed"


async def test_an_invite_makes_one_person_until_it_expires(tmp_path: Path) -> None:
    async with door(tmp_path, invites=True) as at:
        with pytest.raises(ClientError, match="does not take registrations"):
            await at.sign_in.register("bob", PASSWORD, None, BY, None)
        invite, late, revoked = [await at.sign_in.invite(Role.OPERATOR, None, 60, BY) for _ in range(3)]
        await at.store.invites.revoke(revoked.invite.id, BY)
        answers = await asyncio.gather(
            *(at.sign_in.register(f"bob{n}", PASSWORD, invite.token, BY, None) for n in range(5)),
            return_exceptions=True,
        )
        made = [answer for answer in answers if isinstance(answer, SignedIn)]
        assert [done.person.role for done in made] == [Role.OPERATOR]
        at.clock.advance(60)
        for token in (invite.token, late.token, revoked.token, "in_nonsense"):
            with pytest.raises(ClientError) as caught:
                await at.sign_in.register("eve", PASSWORD, token, BY, None)
            assert caught.value.code == "invalid_invite"


async def test_an_invite_is_no_setup_token(tmp_path: Path) -> None:
    async with door(tmp_path, invites=True) as at:
        invite, setup = await at.sign_in.invite(Role.ADMIN, None, 60, BY), await offer_setup(at.store)
        with pytest.raises(ClientError, match="not valid"):
            await at.sign_in.set_up(invite.token, "root", PASSWORD, BY, None)
        with pytest.raises(ClientError, match="not valid"):
            await at.sign_in.register("root", PASSWORD, setup, BY, None)


async def test_of_two_admins_who_disable_each_other_one_stays(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        people = [await at.sign_in.create(name, PASSWORD, Role.ADMIN, None, BY) for name in ("ann", "ben")]
        changes = PersonChanges(disabled=True)
        answers = await asyncio.gather(
            *(at.store.people.update(person.id, changes, BY) for person in people), return_exceptions=True
        )
        assert [error.code for error in answers if isinstance(error, ClientError)] == ["last_admin"]
        assert not await at.store.people.needs_first()


async def test_a_new_user_never_lands_in_somebody_elses_account(tmp_path: Path) -> None:
    async with door(tmp_path, registration_open=True) as at:
        foreign = await at.store.accounts.create("carol")
        done = await at.sign_in.register("carol", PASSWORD, None, BY, None)
        assert done.person.account_id not in (None, foreign.id)


async def test_a_user_needs_an_account(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        person = await at.sign_in.create("ann", PASSWORD, Role.OPERATOR, None, BY)
        with pytest.raises(ClientError) as caught:
            await at.store.people.update(person.id, PersonChanges(role=Role.USER), BY)
        assert caught.value.code == "account_needed"
        account = await at.store.accounts.create("anns")
        changed = await at.store.people.update(person.id, PersonChanges(role=Role.USER, account_id=account.id), BY)
        assert (changed.role, changed.account_id) == (Role.USER, account.id)

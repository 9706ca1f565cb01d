"""Many at once on the same money: sums stay exact, the last unit is spent once, nothing is spent twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress

import pytest

from relayhub.testing import Gate
from relayhub.testing.faults import Fault, FaultUpstream, answers, framing, pace
from tests.faults.asking import CHAT, ask, chat_body, connected, request_bytes
from tests.faults.bench import Bench, config, provider
from tests.faults.ledger import command, new_key
from tests.support.openai_wire import completion

UNITS = 5_000
"""What a call costs: 0.01 USD at 500 000 units to the dollar."""

GOOD = answers.whole(completion("m"))


@pytest.fixture(scope="module")
def hub_config(upstream: FaultUpstream) -> str:
    priced = {"price": {"call": "0.01"}}
    patient = {"first_byte_s": 20, "total_s": 20}
    return config({"up": provider(upstream.url, models={"fixed-*": priced}, timeouts=patient)})


def at_once(count: int, work: Callable[[int], int]) -> Counter[int]:
    with ThreadPoolExecutor(16) as pool:
        return Counter(pool.map(work, range(count)))


def caller(bench: Bench, key: str, model: str) -> Callable[[int], int]:
    headers = {"authorization": f"Bearer {key}"}
    return lambda _: ask(bench.hub.url, "POST", CHAT, chat_body(model), headers).status


def account(bench: Bench, name: str) -> dict[str, int]:
    listed = command(bench.hub.home, "accounts", "list")
    return next(found for found in listed if found["name"] == name)


@pytest.mark.fault("T1", "300 calls at once on a key that has quota for 40")
def test_the_last_unit_is_spent_once(bench: Bench) -> None:
    """Exactly 40 are executed and charged, the others are 402 and never sent."""
    bench.upstream.program("fixed-last", answers_slowly())
    key = new_key(bench.hub, "last", "--quota", str(40 * UNITS))
    assert at_once(300, caller(bench, key, "fixed-last")) == {200: 40, 402: 260}
    assert bench.upstream.counters("fixed-last").executions == 40


def answers_slowly() -> Fault:
    return pace.slow_head(GOOD, 0.05)


@pytest.mark.fault("R06", "an account is topped up while it is being spent")
def test_topping_up_while_spending_is_exact(bench: Bench) -> None:
    """Every grant counts once: as many calls are executed as the sum of the grants pays for."""
    bench.upstream.program("fixed-topped", GOOD)
    command(bench.hub.home, "accounts", "create", "topped")
    key = new_key(bench.hub, "topped", "--account", "topped")
    with ThreadPoolExecutor(12) as pool:
        grants = [pool.submit(bench.hub.cli, "accounts", "grant", "topped", str(10 * UNITS)) for _ in range(2)]
        spending = [
            pool.submit(spend_until, bench, key, lambda: all(grant.done() for grant in grants)) for _ in range(8)
        ]
        wait(grants)
        answered = sum(done.result() for done in spending)
        assert [grant.result() for grant in grants]
    executed = bench.upstream.counters("fixed-topped").executions
    assert (answered, executed) == (20, 20)
    assert account(bench, "topped")["used"] == 20 * UNITS
    assert account(bench, "topped")["remaining"] == 0


def spend_until(bench: Bench, key: str, granted: Callable[[], bool]) -> int:
    """Calls that were answered until all grants were there and spent."""
    answered = 0
    last = False
    while True:
        status = caller(bench, key, "fixed-topped")(0)
        assert status in (200, 402)
        answered += status == 200
        if status == 402 and last:
            return answered
        last = granted()


@pytest.mark.fault("R08", "an account is topped up while a hold on it is open")
def test_a_grant_and_an_open_hold_do_not_disturb_each_other(bench: Bench) -> None:
    """The balance is the sum of both, whichever came first."""
    gate = Gate()
    bench.upstream.program("fixed-held", pace.held(GOOD, gate))
    command(bench.hub.home, "accounts", "create", "held")
    command(bench.hub.home, "accounts", "grant", "held", str(3 * UNITS))
    key = new_key(bench.hub, "held", "--account", "held")
    with connected(bench.hub.url) as raw:
        raw.sendall(request_bytes(CHAT, chat_body("fixed-held"), key))
        assert bench.upstream.wait_for(lambda: bench.upstream.counters("fixed-held").open == 1, 20)
        command(bench.hub.home, "accounts", "grant", "held", str(2 * UNITS))
        assert account(bench, "held")["remaining"] == 4 * UNITS
        bench.upstream.open(gate)
        assert b"200 OK" in raw.recv(65536)
    found = account(bench, "held")
    assert (found["used"], found["remaining"]) == (UNITS, 4 * UNITS)


@pytest.mark.fault("L3", "half of 200 clients leave while their calls are under way")
def test_every_hold_ends_once_whoever_leaves(bench: Bench) -> None:
    """No hold is left; a client that was answered is charged once, nobody twice."""
    bench.upstream.program("fixed-half", pace.slow_head(GOOD, 0.05))
    key = new_key(bench.hub, "half", "--quota", str(1000 * UNITS))

    def one(number: int) -> int:
        with connected(bench.hub.url) as raw:
            raw.sendall(request_bytes(CHAT, chat_body("fixed-half"), key))
            return int(raw.recv(65536).split()[1]) if number % 2 else 0

    assert at_once(200, one) == {200: 100, 0: 100}
    bench.hub.wait_until(lambda: bench.hub.rows("SELECT count(*) AS n FROM holds") == [{"n": 0}], within_s=3)
    rows = Counter(
        str(row["outcome"]) for row in bench.hub.rows("SELECT outcome FROM usage WHERE model = 'fixed-half'")
    )
    assert rows["completed"] >= 100
    assert sum(rows.values()) <= 200
    charges = bench.hub.rows(
        "SELECT count(*) AS n, max(cost_nano) AS most FROM usage WHERE cost_nano > 0 AND model = 'fixed-half'"
    )
    # whoever left as it was sent may be charged though its upstream, aborted, has not read it: nobody here can know
    assert bench.upstream.counters("fixed-half").executions <= sum(rows.values())
    assert charges[0]["most"] == UNITS * 2000
    assert bench.charged("fixed-half") == charges[0]["n"] * UNITS * 2000


@pytest.mark.fault("L3", "a call fails in every way while others succeed, all on one key")
def test_failures_give_back_exactly_what_they_held(bench: Bench) -> None:
    """What is left is what was there less the price of the calls that succeeded."""
    bench.upstream.program("fixed-reset", framing.reset_at(GOOD, 0))
    bench.upstream.program("fixed-short", framing.short_body(b"{"))
    bench.upstream.program("fixed-good", GOOD)
    key = new_key(bench.hub, "mixed", "--quota", str(100 * UNITS))
    models = ["fixed-reset", "fixed-short", "fixed-good"]
    seen = at_once(45, lambda number: caller(bench, key, models[number % 3])(0))
    assert seen == {502: 30, 200: 15}
    listed = command(bench.hub.home, "keys", "list")
    assert next(found["used"] for found in listed if found["name"] == "mixed") == 15 * UNITS


@pytest.mark.fault("R09", "100 calls at once on a key that may make 10 in a minute")
def test_a_minute_takes_no_more_than_its_limit(bench: Bench) -> None:
    """Exactly 10 are executed and charged; the others are 429, say when to come back, and are never sent."""
    bench.upstream.program("fixed-minute", answers_slowly())
    key = new_key(bench.hub, "minute", "--rpm", "10")
    headers = {"authorization": f"Bearer {key}"}

    def one(_: int) -> int:
        answer = ask(bench.hub.url, "POST", CHAT, chat_body("fixed-minute"), headers)
        assert answer.status == 200 or 0 < int(answer.headers["retry-after"]) <= 60, answer
        return answer.status

    seen = at_once(100, one)
    # A minute may end meanwhile; then one of the two is full.
    by_minute = bench.hub.rows(
        "SELECT count(*) AS n FROM ledger JOIN keys ON keys.id = key_id WHERE name = 'minute' AND kind = 'hold'"
        " GROUP BY CAST(at / 60 AS INTEGER)"
    )
    taken = [int(str(row["n"])) for row in by_minute]
    assert max(taken) == 10
    assert seen == {200: sum(taken), 429: 100 - sum(taken)}
    assert bench.upstream.counters("fixed-minute").executions == sum(taken)


SLOTS = 5


@pytest.mark.fault("R10", "100 clients vanish in the middle of calls of a key that may have 5 at a time")
def test_clients_that_vanish_take_no_slot_with_them(bench: Bench) -> None:
    """Never more than 5 are taken; once the clients are gone exactly 5 are free, and a 6th call is 429 and never sent."""
    gate = Gate()
    bench.upstream.program("fixed-vanishing", pace.slow_head(GOOD, 0.1))
    bench.upstream.program("fixed-slots", pace.held(GOOD, gate))
    key = new_key(bench.hub, "slots", "--concurrent", str(SLOTS))
    counters = bench.upstream.counters("fixed-vanishing")
    held = "SELECT count(*) AS n FROM holds JOIN keys ON keys.id = key_id WHERE name = 'slots'"

    def vanish(number: int) -> int:
        with connected(bench.hub.url) as raw:
            raw.sendall(request_bytes(CHAT, chat_body("fixed-vanishing"), key))
            raw.settimeout(0.01 * (number % 4) or 0.001)
            with suppress(TimeoutError):  # gone before there is an answer, but for some that are refused
                raw.recv(1)
            if number % 4 == 3:  # on a slow machine nobody else might have come so far
                assert bench.upstream.wait_for(lambda: counters.executions > 0, 20)
        return int(str(bench.hub.rows(held)[0]["n"]))

    assert max(at_once(100, vanish)) <= SLOTS
    assert 0 < counters.executions < 100
    bench.hub.wait_until(lambda: bench.hub.rows(held) == [{"n": 0}], within_s=3)
    call = caller(bench, key, "fixed-slots")
    with ThreadPoolExecutor(SLOTS) as pool:
        taking = [pool.submit(call, number) for number in range(SLOTS)]
        slots = bench.upstream.counters("fixed-slots")
        assert bench.upstream.wait_for(lambda: slots.open == SLOTS, 20)
        assert at_once(20, call) == {429: 20}
        assert slots.executions == SLOTS
        bench.upstream.open(gate)
        assert [done.result() for done in taking] == [200] * SLOTS

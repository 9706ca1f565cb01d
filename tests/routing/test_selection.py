"""Which route comes first: tiers, weights, load and latency; what rests is left out, and everything has a reason."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import pytest

from relayhub.routing.catalog import Route
from relayhub.routing.health import Cause, Standing, State
from relayhub.routing.selection import Candidate, Choice, Strategy, choose, reasons
from tests.routing.routes import names, route

WELL = Standing()
RESTING = Standing(State.OPEN, wait_s=4, cause=Cause.FAILURES)
LIMITED = Standing(State.OPEN, wait_s=9, told=True, cause=Cause.RATE_LIMITED)
FULL = Standing(full=True)


def chosen(
    *candidates: tuple[Route, Standing],
    strategy: Strategy = Strategy.WEIGHT,
    preferred: str | None = None,
    draw: Callable[[], float] | None = None,
) -> Choice:
    """With the lots that ``draw`` gives, or of a fixed seed."""
    pairs = [Candidate(way, standing) for way, standing in candidates]
    return choose(pairs, strategy, draw or random.Random(7).random, preferred)


def order(choice: Choice) -> list[str]:
    return names(one.route for one in choice.taken)


def test_without_weights_the_order_is_the_configs() -> None:
    ways = [(route(name), WELL) for name in "cab"]
    assert all(order(chosen(*ways, draw=random.Random(seed).random)) == ["c", "a", "b"] for seed in range(50))


def test_a_lower_tier_waits_for_the_higher_one_whatever_its_weight() -> None:
    ways = [(route("second", priority=2, weight=1000), WELL), (route("first", weight=1), WELL)]
    assert all(order(chosen(*ways, draw=random.Random(seed).random)) == ["first", "second"] for seed in range(50))


def test_weights_decide_how_often_a_route_comes_first() -> None:
    draw = random.Random(1).random
    ways = [(route("three", weight=3), WELL), (route("one", weight=1), WELL), (route("none", weight=0), WELL)]
    orders = [order(chosen(*ways, draw=draw)) for _ in range(4000)]
    first = Counter(found[0] for found in orders)
    assert 0.72 < first["three"] / 4000 < 0.78
    assert first["none"] == 0
    assert all(found[-1] == "none" for found in orders)


def test_credentials_take_turns_by_their_weight_even_where_entries_do_not() -> None:
    draw = random.Random(2).random
    ways = [
        (route("p", "a", credential_weight=2), WELL),
        (route("p", "b"), WELL),
        (route("q"), WELL),
    ]
    orders = [order(chosen(*ways, draw=draw)) for _ in range(3000)]
    first = Counter(found[0] for found in orders)
    assert 0.62 < first["p#a"] / 3000 < 0.71
    assert first["q"] == 0
    assert all(found[-1] == "q" for found in orders)


def test_the_least_busy_route_comes_first_for_its_weight() -> None:
    ways = [
        (route("busy"), Standing(busy=5)),
        (route("strong", weight=10), Standing(busy=7)),
        (route("idle"), Standing(busy=1)),
    ]
    assert order(chosen(*ways, strategy=Strategy.LEAST_BUSY)) == ["strong", "idle", "busy"]


def test_the_soonest_answer_comes_first_and_the_unknown_is_found_out() -> None:
    ways = [
        (route("slow"), Standing(first_byte_s=2.0)),
        (route("quick"), Standing(first_byte_s=0.3)),
        (route("quick but crowded"), Standing(first_byte_s=0.3, busy=9)),
        (route("unknown"), WELL),
    ]
    found = order(chosen(*ways, strategy=Strategy.LATENCY))
    assert found == ["unknown", "quick", "slow", "quick but crowded"]


def test_what_rests_or_is_full_is_left_out_while_something_else_is_well() -> None:
    choice = chosen((route("a"), RESTING), (route("b"), LIMITED), (route("c"), FULL), (route("d", priority=9), WELL))
    assert order(choice) == ["d"]
    assert names(one.route for one in choice.left) == ["a", "b", "c"]
    assert not choice.last_resort


def test_a_route_that_has_rested_lets_one_call_through() -> None:
    probe = Standing(State.HALF_OPEN, cause=Cause.FAILURES)
    assert order(chosen((route("a"), probe), (route("b"), WELL))) == ["a", "b"]
    under_way = Standing(State.HALF_OPEN, cause=Cause.FAILURES, probing=True)
    assert order(chosen((route("a"), under_way), (route("b"), WELL))) == ["b"]


def test_where_all_rest_the_one_that_has_rested_longest_is_tried_unless_its_upstream_forbade_it() -> None:
    later = Standing(State.OPEN, wait_s=60, cause=Cause.CREDENTIAL)
    choice = chosen((route("a"), later), (route("b"), RESTING), (route("c"), LIMITED))
    assert order(choice) == ["b", "a"]
    assert choice.last_resort
    assert order(chosen((route("a"), LIMITED), (route("b"), FULL))) == []


def test_fall_backs_come_after_every_tier_of_the_model() -> None:
    ways = [(route("other", fallback=1, model="mini"), WELL), (route("own", priority=50), WELL)]
    assert order(chosen(*ways)) == ["own", "other"]


def test_a_conversation_stays_with_its_credential_then_with_its_provider() -> None:
    ways = [(route("q"), WELL), (route("p", "a"), WELL), (route("p", "b"), WELL)]
    assert order(chosen(*ways, preferred="p#b"))[:2] == ["p#b", "p#a"]
    assert order(chosen(*ways[:1], (route("p", "a"), WELL), (route("p", "b"), LIMITED), preferred="p#b")) == [
        "p#a",
        "q",
    ]


@pytest.mark.parametrize(
    ("standing", "words"),
    [
        (WELL, ["priority 1", "weight 3", "circuit closed"]),
        (RESTING, ["failures in a row, rests for 4.0 s more", "not tried"]),
        (LIMITED, ["it is rate limited, rests for 9.0 s more, as its upstream asked"]),
        (FULL, ["its provider is at max_in_flight"]),
        (Standing(State.HALF_OPEN, cause=Cause.QUOTA), ["no quota left, the next call is its probe"]),
    ],
)
def test_every_place_has_its_reasons(standing: Standing, words: list[str]) -> None:
    choice = chosen((route("a", weight=3), standing), (route("b"), WELL))
    one = next(one for one in (*choice.taken, *choice.left) if one.route.provider.name == "a")
    said = "; ".join(reasons(choice, one))
    assert all(word in said for word in words), said


def test_nothing_is_lost_and_nothing_comes_twice() -> None:
    draw = random.Random(3)
    standings = [WELL, RESTING, LIMITED, FULL, Standing(State.HALF_OPEN, cause=Cause.FAILURES)]
    for strategy in Strategy:
        for _ in range(200):
            ways = [
                (
                    route(f"p{number}", priority=draw.randint(1, 3), weight=draw.choice([None, 0, 2])),
                    draw.choice(standings),
                )
                for number in range(draw.randint(1, 6))
            ]
            choice = chosen(*ways, strategy=strategy, draw=draw.random)
            assert sorted(names(one.route for one in (*choice.taken, *choice.left))) == sorted(
                names(w for w, _ in ways)
            )
